/** A {@link ByteStream} over a descriptor: a socket, pipe, FIFO, terminal or virtio port. */
import { KataError } from "../kata-error.ts";
import type { ByteStream } from "./byte-stream.ts";
import type { FileDescriptor } from "./descriptor.ts";
import { EAGAIN, EINTR } from "./errno.ts";
import { loop } from "./event-loop.ts";
import { check, kernel } from "./kernel.ts";

const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;

/** Lets calls on `fd` answer EAGAIN instead of waiting. */
export function setNonBlocking(fd: number, on = true): void {
  const flags = check(kernel().syscall("fcntl", fd, F_GETFL, 0), "read flags of", fd);
  const wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted !== flags) check(kernel().syscall("fcntl", fd, F_SETFL, wanted), "set flags of", fd);
}

/** What most writes answer with. */
const WRITTEN: Promise<void> = Promise.resolve();

export class FdStream implements ByteStream {
  readonly #descriptor: FileDescriptor;
  /** Ends when all writes so far have: they are sent in the order of the calls. */
  #lastWrite: Promise<void> | undefined;

  /** Takes the descriptor over and sets it non-blocking. */
  constructor(descriptor: FileDescriptor) {
    this.#descriptor = descriptor;
    setNonBlocking(descriptor.fd);
  }

  /** The descriptor's number, which stays this stream's. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  get isOpen(): boolean {
    return this.#descriptor.isOpen;
  }

  async read(into: Uint8Array): Promise<number> {
    for (;;) {
      const fd = this.#descriptor.fd;
      const count = kernel().syscall("read", fd, into, into.length);
      if (count === -EAGAIN) await loop.readable(fd);
      else if (count !== -EINTR) return check(count, "read", fd);
    }
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#lastWrite === undefined) {
      // Most writes fit into the socket's buffer at once and need no promise chain.
      const rest = this.#writeSome(bytes);
      if (rest === undefined) return WRITTEN;
      if (rest instanceof Error) return Promise.reject(rest);
      return this.#track(this.#writeRest(rest));
    }
    return this.#track(this.#lastWrite.then(() => this.#writeRest(bytes)));
  }

  /** Writes what fits now. @returns what is left of it, undefined for nothing. */
  #writeSome(bytes: Uint8Array): Uint8Array | Error | undefined {
    let rest = bytes;
    try {
      while (rest.length > 0) {
        const count = kernel().syscall("write", this.#descriptor.fd, rest, rest.length);
        if (count === -EAGAIN) return rest;
        if (count !== -EINTR) rest = rest.subarray(check(count, "write", this.#descriptor.fd));
      }
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
    return undefined;
  }

  async #writeRest(bytes: Uint8Array): Promise<void> {
    let rest = this.#writeSome(bytes);
    while (rest !== undefined) {
      if (rest instanceof Error) throw rest;
      await loop.writable(this.#descriptor.fd);
      rest = this.#writeSome(rest);
    }
  }

  #track(work: Promise<void>): Promise<void> {
    const settled: Promise<void> = work.then(
      () => this.#finished(settled),
      () => this.#finished(settled),
    );
    this.#lastWrite = settled;
    return work;
  }

  #finished(write: Promise<void>): void {
    if (this.#lastWrite === write) this.#lastWrite = undefined;
  }

  close(): void {
    if (!this.#descriptor.isOpen) return;
    loop.forget(this.#descriptor.fd);
    this.#descriptor.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Reads exactly `length` bytes. @throws KataError `unexpected-end` if the stream ends before. */
export async function readExactly(stream: ByteStream, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const count = await stream.read(bytes.subarray(at));
    if (count === 0) {
      throw new KataError("unexpected-end", {
        operation: "read",
        object: `${at} of ${length} bytes had come`,
      });
    }
    at += count;
  }
  return bytes;
}
