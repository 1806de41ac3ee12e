/** Running programs from tests and scripts: to their end with a deadline, or alive with pipes. */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { constants } from "node:os";

export interface CommandResult {
  /** Exit status, 0–255; 128 + signal number if a signal ended the program. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** From start to the end of its output, ms. */
  readonly ms: number;
}

export interface CommandOptions {
  readonly stdin?: string | Uint8Array;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** The program is killed, and the call fails, after this time, ms. */
  readonly deadlineMs?: number;
}

export const DEFAULT_DEADLINE_MS = 60_000;

/** Runs `command` to its end, whatever its exit status. @throws Error if it cannot be started or exceeds its deadline. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  await using live = startCommand(command, args, options);
  live.end(options.stdin);
  return await live.exited(options.deadlineMs);
}

/** As {@link runCommand}, for a program that must exit with 0. @returns its stdout. */
export async function mustRun(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { status, stdout, stderr } = await runCommand(command, args, options);
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(" ")}: exit status ${status}\n${stdout}${stderr}`);
}

/**
 * Starts `command` with pipes for its input and output.
 *
 * @param options.detached it leads a process group of its own, as what is typed into a terminal does.
 */
export function startCommand(
  command: string,
  args: readonly string[],
  options: Pick<CommandOptions, "env" | "cwd"> & { readonly detached?: boolean } = {},
): LiveCommand {
  return new LiveCommand(
    [command, ...args].join(" "),
    spawn(command, args, { ...options, stdio: ["pipe", "pipe", "pipe"] }),
  );
}

/** A program that runs. The end of its scope kills it if it still does. */
export class LiveCommand implements AsyncDisposable {
  readonly line: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #started = performance.now();
  readonly #stdout: Buffer[] = [];
  readonly #stderr: Buffer[] = [];
  readonly #closed: Promise<number>;
  readonly #waiting = new Set<() => void>();

  constructor(line: string, child: ChildProcessWithoutNullStreams) {
    this.line = line;
    this.#child = child;
    child.stdout.on("data", (chunk: Buffer) => this.#received(this.#stdout, chunk));
    child.stderr.on("data", (chunk: Buffer) => this.#received(this.#stderr, chunk));
    // A program may end before it has read all of its input: its exit status tells, not the broken pipe.
    child.stdin.on("error", () => child.stdin.destroy());
    this.#closed = exitStatus(child);
    this.#closed.catch(() => undefined).finally(() => this.#wake());
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.line}: not started`);
    return this.#child.pid;
  }

  get stdout(): string {
    return Buffer.concat(this.#stdout).toString();
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString();
  }

  /** What it wrote to stdout, as bytes. */
  get stdoutBytes(): Buffer {
    return Buffer.concat(this.#stdout);
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  write(text: string | Uint8Array): void {
    this.#child.stdin.write(text);
  }

  /** Writes `last` and closes its standard input. */
  end(last: string | Uint8Array = ""): void {
    this.#child.stdin.end(last);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Waits until what it wrote so far satisfies `condition`. @throws Error if the deadline passes or it ends before. */
  async until(
    what: string,
    condition: (stdout: string, stderr: string) => boolean,
    deadlineMs = DEFAULT_DEADLINE_MS,
  ): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    while (!condition(this.stdout, this.stderr)) {
      const left = deadline - performance.now();
      if (left <= 0 || !this.running) {
        const why = left <= 0 ? `not within ${deadlineMs} ms` : "it ended before";
        throw new Error(`${this.line}: ${what}: ${why}\nstdout: ${this.stdout}\nstderr: ${this.stderr}`);
      }
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          this.#waiting.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, left);
        this.#waiting.add(wake);
      });
    }
  }

  /** Waits for its end. @throws Error if the deadline passes. */
  async exited(deadlineMs = DEFAULT_DEADLINE_MS): Promise<CommandResult> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        const output = `stdout: ${this.stdout.slice(-2000)}\nstderr: ${this.stderr.slice(-2000)}`;
        reject(new Error(`${this.line}: still running after ${deadlineMs} ms\n${output}`));
      }, deadlineMs);
    });
    try {
      const status = await Promise.race([this.#closed, late]);
      return { status, stdout: this.stdout, stderr: this.stderr, ms: performance.now() - this.#started };
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.running) return;
    this.#child.kill("SIGKILL");
    // Its children may hold the pipes open; they are not waited for.
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
    await this.#closed.catch(() => undefined);
  }

  #received(into: Buffer[], chunk: Buffer): void {
    into.push(chunk);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}

/** The exit status of `child` once its output has ended too. */
export function exitStatus(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}
