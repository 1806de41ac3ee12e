/** Who may talk to the shim, and their connections. */
import { describeError, hasErrno, KataError } from "../kata-error.ts";
import { serveConnection } from "../rpc/server.ts";
import type { Service } from "../rpc/types.ts";
import type { Logger } from "../sandbox/types.ts";
import { CancelSource } from "../sys/cancellation.ts";
import { sleep } from "../sys/clock.ts";
import type { FileDescriptor } from "../sys/descriptor.ts";
import { loop } from "../sys/event-loop.ts";
import type { FdStream } from "../sys/fd-stream.ts";
import { check, kernel } from "../sys/kernel.ts";
import { formatError } from "../sys/program.ts";
import { accept, peerCredentials } from "../sys/socket.ts";

/** Pause before a connection is taken for which something was missing, ms. */
const RETRY_MS = 200;

export class Connections {
  readonly #socket: FileDescriptor;
  readonly #services: readonly Service[];
  readonly #logger: Logger;
  readonly #stop = new CancelSource();
  readonly #open = new Set<Promise<void>>();

  /** Takes `socket`, which listens, over. */
  constructor(socket: FileDescriptor, services: readonly Service[], logger: Logger) {
    this.#socket = socket;
    this.#services = services;
    this.#logger = logger;
  }

  /** Takes connections until {@link refuseNew} is called. */
  async serve(): Promise<void> {
    while (this.#socket.isOpen) {
      try {
        this.#attend(await accept(this.#socket));
      } catch (error) {
        if (!this.#socket.isOpen) return;
        if (!hasErrno(error, "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM")) throw error;
        // It stays in the queue until something has been given back.
        this.#logger.error("take connection", { error: describeError(error) });
        await sleep(loop, RETRY_MS);
      }
    }
  }

  /** Takes no more connections; those that are open go on. */
  refuseNew(): void {
    if (!this.#socket.isOpen) return;
    const { fd } = this.#socket;
    this.#socket.close();
    loop.forget(fd);
  }

  /** Settles when the peers have closed all connections. Never rejects. */
  async hungUp(): Promise<void> {
    await Promise.all(this.#open);
  }

  /** Lets the connections end once their calls are answered. */
  async ended(): Promise<void> {
    this.#stop.cancel();
    await Promise.all(this.#open);
  }

  #attend(stream: FdStream): void {
    const { uid, gid, pid } = peerCredentials(stream.fd);
    if (uid !== kernelId("geteuid") || gid !== kernelId("getegid")) {
      this.#logger.warn("refused a connection of another user", { uid, gid, pid });
      stream.close();
      return;
    }
    const connection: Promise<void> = serveConnection(stream, this.#services, {
      stop: this.#stop.signal,
      onFailure: (service, method, error) => this.#report(`${service}/${method}`, error),
    }).finally(() => this.#open.delete(connection));
    this.#open.add(connection);
  }

  #report(call: string, error: unknown): void {
    // What is not ours is a mistake of ours: its place is worth a log line.
    if (error instanceof KataError) this.#logger.debug("call failed", { call, error: describeError(error) });
    else this.#logger.error("call failed", { call, error: formatError(error) });
  }
}

function kernelId(call: "geteuid" | "getegid"): number {
  return check(kernel().syscall(call), "read own", call);
}
