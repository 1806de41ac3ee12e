/** A process of a container as the agent sees it: how to reach it, its streams, how it ended. */
import { KataError } from "../../kata-error.ts";
import type { CancelSignal } from "../../sys/cancellation.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { pidfdSendSignal } from "../../sys/process.ts";
import { setWindowSize } from "../../sys/terminal.ts";
import type { ProcessStdio } from "./process-stdio.ts";

/** Rows and columns of a terminal are 16-bit numbers. */
const MAX_TERMINAL_SIZE = 0xffff;

/** All of a process's streams, as far as `ProcessOutput.whole()` tells. */
export interface LastOutput {
  readonly stdout?: Uint8Array | undefined;
  readonly stderr?: Uint8Array | undefined;
}

export class ContainerProcess {
  /** Empty for a container's first process. */
  readonly execId: string;
  readonly pid: number;
  /** How it ended: 0–255, 128 + signal. Never rejects. */
  readonly exited: Promise<number>;
  readonly #pidfd: FileDescriptor;
  readonly #stdio: ProcessStdio;
  #status: number | undefined;
  #isWaitedFor = false;
  /** Ends when the writes so far have. */
  #lastWrite: Promise<void> = Promise.resolve();

  constructor(
    execId: string,
    child: { readonly pid: number; readonly pidfd: FileDescriptor; readonly exited: Promise<number> },
    stdio: ProcessStdio,
  ) {
    this.execId = execId;
    this.pid = child.pid;
    this.#pidfd = child.pidfd;
    this.#stdio = stdio;
    this.exited = child.exited.then((status) => {
      this.#status = status;
      child.pidfd.close();
      // Nobody is left to read it; a writer that waits hears of it.
      if (stdio.terminal === undefined) stdio.stdin.close();
      return status;
    });
  }

  /** The exit status, once it has ended. */
  get status(): number | undefined {
    return this.#status;
  }

  /** How it ends, for somebody who asks on the container's behalf. */
  async wait(): Promise<number> {
    const status = await this.exited;
    this.#isWaitedFor = true;
    return status;
  }

  /** Whether it has ended and somebody has been told how: another process may take its name. */
  get isForgettable(): boolean {
    return this.#status !== undefined && this.#isWaitedFor;
  }

  /** Whether it has ended and all its output has been read: nothing but the status is left to ask for. */
  get isFinished(): boolean {
    return this.#status !== undefined && !this.#stdio.stdout.isOpen && this.#stdio.stderr?.isOpen !== true;
  }

  /** Sends a signal. @returns false if the process has ended. */
  signal(signal: number): boolean {
    return this.#pidfd.isOpen && pidfdSendSignal(this.#pidfd, signal);
  }

  /** Sends all of `bytes`; settles when they are in the pipe. */
  async writeStdin(bytes: Uint8Array): Promise<void> {
    if (!this.#stdio.stdin.isOpen) {
      throw new KataError("failed-precondition", {
        operation: "write stdin",
        object: this.#describe(),
        hint: "its stdin is closed",
      });
    }
    const write = this.#stdio.stdin.write(bytes);
    this.#lastWrite = write.catch(() => undefined);
    await write;
  }

  /** Ends stdin after what has been written; a terminal stays as it is. Any number of calls. */
  async closeStdin(): Promise<void> {
    await this.#lastWrite;
    if (this.#stdio.terminal === undefined) this.#stdio.stdin.close();
  }

  /** The next bytes, at most `limit`; nothing at the end. */
  read(stream: "stdout" | "stderr", limit: number, signal?: CancelSignal): Promise<Uint8Array> {
    const output = stream === "stdout" ? this.#stdio.stdout : this.#stdio.stderr;
    return output === undefined ? Promise.resolve(new Uint8Array(0)) : output.read(limit, signal);
  }

  /** What it has written, if that is at most `limit` bytes of a stream which nobody has read. It has ended. */
  lastOutput(limit: number): LastOutput {
    return { stdout: this.#stdio.stdout.whole(limit), stderr: this.#stdio.stderr?.whole(limit) };
  }

  resizeTerminal(rows: number, columns: number): void {
    if (rows > MAX_TERMINAL_SIZE || columns > MAX_TERMINAL_SIZE) {
      throw new KataError("invalid-argument", {
        operation: "set terminal size",
        object: `${rows} rows, ${columns} columns`,
        hint: `both are at most ${MAX_TERMINAL_SIZE}`,
      });
    }
    const terminal = this.#stdio.terminal;
    if (terminal === undefined) {
      throw new KataError("failed-precondition", {
        operation: "set terminal size",
        object: this.#describe(),
        hint: "it has no terminal",
      });
    }
    if (terminal.isOpen) setWindowSize(terminal.fd, { rows, columns });
  }

  /** Gives back streams and descriptors; the exit status stays. */
  close(): void {
    this.#stdio.close();
  }

  #describe(): string {
    return this.execId === "" ? `process ${this.pid}` : `exec ${this.execId}`;
  }
}
