/**
 * The agent's end of a process's stdout or stderr.
 *
 * Nothing is read ahead: what the host has not asked for stays in the kernel's pipe, whose size then slows the process
 * down. A read that is cancelled takes nothing.
 */
import { KataError } from "../../kata-error.ts";
import type { CancelSignal } from "../../sys/cancellation.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { EAGAIN, EINTR } from "../../sys/errno.ts";
import { loop } from "../../sys/event-loop.ts";
import { setNonBlocking } from "../../sys/fd-stream.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { bytesWaiting } from "../../sys/pipe.ts";

/** What a terminal's master end answers when the last process has closed the other end. */
const EIO = 5;

/** Most that one read answers with, bytes: well below the largest message of the protocol (4 MiB). */
export const MAX_READ_BYTES = 1 << 20;

/**
 * Least room that a read is given, bytes: what comes after the kernel was asked how much there is. More would have to be zeroed, and
 * most reads find nothing.
 */
const LEAST_ROOM = 512;

export class ProcessOutput {
  readonly #descriptor: FileDescriptor;
  readonly #name: string;
  #reading = false;
  /** Whether anybody has asked for bytes of it. */
  #wasAsked = false;
  /** What was taken out of the pipe and is still to be read. */
  #unread: Uint8Array | undefined;

  /** @param name `stdout` or `stderr`, for messages. */
  constructor(descriptor: FileDescriptor, name: string) {
    this.#descriptor = descriptor;
    this.#name = name;
    setNonBlocking(descriptor.fd);
  }

  get isOpen(): boolean {
    return this.#descriptor.isOpen;
  }

  /**
   * What is there, at most `limit` bytes; waits for at least one.
   *
   * @returns nothing (length 0) at the end of the stream.
   * @throws KataError `busy` if another read waits.
   */
  async read(limit: number, signal?: CancelSignal): Promise<Uint8Array> {
    this.#wasAsked = true;
    if (!this.#descriptor.isOpen) return new Uint8Array(0);
    if (this.#unread !== undefined) return this.#takeUnread(this.#unread, limit);
    if (this.#reading) {
      throw new KataError("busy", {
        operation: `read ${this.#name}`,
        object: "another read of it is under way",
      });
    }
    this.#reading = true;
    try {
      for (;;) {
        const bytes = this.#readNow(Math.min(limit, MAX_READ_BYTES));
        if (bytes !== undefined) return bytes;
        await loop.readable(this.#descriptor.fd, signal);
      }
    } catch (error) {
      // Closed while it waited: the container is gone, so this is the end of its output.
      if (!this.#descriptor.isOpen) return new Uint8Array(0);
      throw error;
    } finally {
      this.#reading = false;
    }
  }

  /**
   * All of the stream, if it has ended, has at most `limit` bytes, and nobody has asked for any: who has might hear of what comes
   * later first. What is there of another one stays for {@link read}.
   */
  whole(limit: number): Uint8Array | undefined {
    if (this.#wasAsked || !this.#descriptor.isOpen) return undefined;
    this.#wasAsked = true;
    const data = this.#readNow(limit);
    // One read takes all that the pipe held when it began; whether it was the last, the next one tells.
    const isMore = data !== undefined && data.length > 0 && data.length < limit;
    const all = joined(data, isMore ? this.#readNow(limit - data.length) : undefined);
    if (!this.#descriptor.isOpen) return all;
    if (all.length > 0) this.#unread = all;
    return undefined;
  }

  #takeUnread(unread: Uint8Array, limit: number): Uint8Array {
    this.#unread = unread.length > limit ? unread.subarray(limit) : undefined;
    return unread.subarray(0, limit);
  }

  /** What is there; nothing at the end of the stream, undefined if it has to be waited for. */
  #readNow(limit: number): Uint8Array | undefined {
    const fd = this.#descriptor.fd;
    const into = new Uint8Array(Math.min(limit, Math.max(bytesWaiting(fd), LEAST_ROOM)));
    for (;;) {
      const count = kernel().syscall("read", fd, into, into.length);
      if (count === -EINTR) continue;
      if (count === -EAGAIN) return undefined;
      if (count !== 0 && count !== -EIO) return into.subarray(0, check(count, `read ${this.#name}`, fd));
      this.close();
      return into.subarray(0, 0);
    }
  }

  close(): void {
    if (!this.#descriptor.isOpen) return;
    loop.forget(this.#descriptor.fd);
    this.#descriptor.close();
  }
}

function joined(first: Uint8Array = new Uint8Array(0), second: Uint8Array = new Uint8Array(0)): Uint8Array {
  if (second.length === 0) return first;
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}
