/**
 * A helper program of a sandbox (virtual machine monitor, file server): it ends with us, its last words are kept, and its end
 * is noticed.
 */

import { hasCode, hasErrno, KataError } from "../../kata-error.ts";
import { type Clock, settledWithin, withDeadline } from "../../sys/clock.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { pipe } from "../../sys/pipe.ts";
import { kill, pidfdSendSignal, SIGKILL, SIGTERM } from "../../sys/process.ts";
import { type ChildProcess, spawn } from "../../sys/spawn.ts";
import { ConsoleLog } from "./console-log.ts";

export interface ProgramRequest {
  /** For messages: `QEMU`, `virtiofsd`. */
  readonly name: string;
  /** The configuration key that names the program, for the hint when it cannot be started. */
  readonly configurationKey: string;
  readonly path: string;
  /** Without the program's name. */
  readonly args: readonly string[];
  /** Inherited as 3, 4, …; the child has copies. */
  readonly inherited: readonly number[];
  readonly environment: readonly string[];
  /** Runs in the child before its execve: plain system calls only. */
  readonly prepare?: () => void;
  readonly onOutput?: (line: string) => void;
  readonly clock: Clock;
}

/** After its end, what it wrote last is waited for this long, ms: a child of its own may hold the pipe open for ever. */
const LAST_OUTPUT_MS = 100;

/** Lines of its output that become part of an error message. */
const SHOWN_LINES = 3;

/** What a program is to whom it ends with: a child, or the child of a process that keeps it for us. */
export interface RunningProgram {
  readonly name: string;
  readonly pid: number;
  /** Open as long as it has not ended. */
  readonly pidfd: FileDescriptor;
  /** Settles once with a sentence about its end. Never rejects. */
  readonly exited: Promise<string>;
  /** The last lines that it wrote, at most `lines`. */
  tail(lines: number): readonly string[];
}

export class SupervisedProgram {
  readonly name: string;
  readonly pid: number;
  readonly pidfd: FileDescriptor;
  /** Settles once with a sentence about its end. Never rejects. */
  readonly exited: Promise<string>;
  readonly #program: RunningProgram;
  readonly #clock: Clock;

  /** Looks after a program that runs; {@link start} starts one. */
  constructor(program: RunningProgram, clock: Clock) {
    this.name = program.name;
    this.pid = program.pid;
    this.pidfd = program.pidfd;
    this.exited = program.exited;
    this.#program = program;
    this.#clock = clock;
  }

  /** Starts the program. @throws KataError with a hint that names the configuration key. */
  static async start(request: ProgramRequest): Promise<SupervisedProgram> {
    using output = pipe();
    const stream = () => new FdStream(new FileDescriptor(output.reader.release()));
    let child: ChildProcess;
    try {
      child = await spawn({
        path: request.path,
        args: [request.path, ...request.args],
        environment: request.environment,
        descriptors: ["null", output.writer.fd, output.writer.fd, ...request.inherited],
        workingDirectory: "/",
        parentDeathSignal: SIGKILL,
        newSession: true,
        ...(request.prepare === undefined ? {} : { prepare: request.prepare }),
      });
    } catch (error) {
      if (!hasErrno(error, "ENOENT", "EACCES", "ENOEXEC", "ENOTDIR")) throw error;
      throw new KataError("invalid-configuration", {
        operation: `start ${request.name}`,
        object: request.path,
        errno: error.errno,
        hint: `set ${request.configurationKey} in configuration.toml to an executable program`,
        cause: error,
      });
    }
    const log = new ConsoleLog(stream(), request.onOutput);
    return new SupervisedProgram(runningChild(request, child, log), request.clock);
  }

  /**
   * Settles as `work` does, unless the program ends first.
   *
   * @throws KataError `hypervisor-error` with the program's last words, if it ends while `work` is under way or `work` fails
   * because of that.
   */
  async whileRunning<T>(operation: string, work: Promise<T>): Promise<T> {
    let end: string | undefined;
    const ended = this.exited.then((how): never => {
      end = how;
      throw this.#endedError(operation, how);
    });
    ended.catch(() => undefined);
    try {
      return await Promise.race([work, ended]);
    } catch (error) {
      if (end === undefined && hasCode(error, "unavailable")) {
        // Its end of the connection is gone; its process is about to be.
        await settledWithin(this.#clock, LAST_OUTPUT_MS * 2, ended);
        if (end !== undefined) throw this.#endedError(operation, end);
      }
      throw error;
    }
  }

  #endedError(operation: string, how: string): KataError {
    const words = this.lastOutput();
    return new KataError("hypervisor-error", {
      operation,
      object: words === "" ? how : `${how}: ${words}`,
    });
  }

  /** What it wrote last, on one line; empty if it wrote nothing. */
  lastOutput(): string {
    return this.#program.tail(SHOWN_LINES).join(" | ");
  }

  /** Asks it to end by `ask`, by default SIGTERM, then kills it after `graceMs`. Any number of calls. */
  async stop(graceMs: number, ask: () => void = () => this.#kill(SIGTERM)): Promise<void> {
    if (graceMs > 0) {
      ask();
      try {
        await withDeadline(this.#clock, graceMs, { operation: "end", object: this.name }, this.exited);
        return;
      } catch (error) {
        if (!hasCode(error, "deadline-exceeded")) throw error;
      }
    }
    this.kill();
    await this.exited;
  }

  /**
   * Ends it by force, with its children: a file server's worker would take a tenth of a second over a polite end, and keep the guest's
   * memory meanwhile. No effect after its end.
   */
  kill(): void {
    // The group is known by its leader's number, which is the program's as long as its end has not been asked for.
    if (this.pidfd.isOpen && pidfdSendSignal(this.pidfd, SIGKILL)) kill(-this.pid, SIGKILL);
  }

  #kill(signal: number): void {
    if (this.pidfd.isOpen) pidfdSendSignal(this.pidfd, signal);
  }
}

function runningChild(
  { name, clock }: ProgramRequest,
  child: ChildProcess,
  output: ConsoleLog,
): RunningProgram {
  return {
    name,
    pid: child.pid,
    pidfd: child.pidfd,
    exited: child.exited.then(async ({ status }) => {
      await settledWithin(clock, LAST_OUTPUT_MS, output.ended);
      const how = status > 128 ? `was killed by signal ${status - 128}` : `exited with status ${status}`;
      return `${name} ${how}`;
    }),
    tail: (lines) => output.tail(lines),
  };
}
