/**
 * Starting another program as a child.
 *
 * The child tells a failure before its execve through a pipe that a successful execve closes, so that {@link spawn} answers
 * with either a running program or the reason why there is none.
 */
import { KataError } from "../kata-error.ts";
import { FileDescriptor } from "./descriptor.ts";
import { errnoName } from "./errno.ts";
import { FdStream } from "./fd-stream.ts";
import { AT_FDCWD, O_CLOEXEC, O_RDWR } from "./files.ts";
import { check, kernel } from "./kernel.ts";
import { pipe } from "./pipe.ts";
import {
  chdir,
  clone,
  closeOnExecFrom,
  duplicate,
  duplicateTo,
  execve,
  getpid,
  getppid,
  PR_SET_PDEATHSIG,
  type ProcessExit,
  pidfdSendSignal,
  prctl,
  resetSignals,
  setpgid,
  setsid,
  waitForChild,
} from "./process.ts";

/** Where a descriptor of the child comes from: a descriptor's number here, or `/dev/null`. */
export type ChildDescriptor = number | "null";

export interface SpawnRequest {
  /** Absolute path of the program. */
  readonly path: string;
  /** Arguments, the program's name first. */
  readonly args: readonly string[];
  /** `NAME=value` entries. */
  readonly environment: readonly string[];
  /** The child's descriptors 0, 1, 2, …; it has no others. */
  readonly descriptors: readonly ChildDescriptor[];
  readonly workingDirectory?: string;
  /** Signal that the child gets when this process ends, however it ends. */
  readonly parentDeathSignal?: number;
  readonly newSession?: boolean;
  readonly newProcessGroup?: boolean;
  /** Runs in the child before its execve; only plain system calls, no event loop. */
  readonly prepare?: () => void;
}

export interface ChildProcess {
  readonly pid: number;
  readonly pidfd: FileDescriptor;
  /** How it ended. Never rejects; the pidfd is closed afterwards. */
  readonly exited: Promise<ProcessExit>;
  /** @returns false if it has ended. */
  kill(signal: number): boolean;
}

/** Exit status of a child that could not execute its program; its parent knows why from the pipe. */
const EXIT_NOT_EXECUTED = 127;

/**
 * Starts a program.
 *
 * @throws KataError `system-call` with the errno of what failed in the child: ENOENT, EACCES, ENOEXEC for the program.
 */
export async function spawn(request: SpawnRequest): Promise<ChildProcess> {
  using report = pipe();
  const parent = getpid();
  const cloned = clone({ flags: 0 });
  if (cloned.role === "child") becomeProgram(request, report.writer.fd, parent);
  const { pid, pidfd } = cloned;
  report.writer.close();

  const reader = new FdStream(new FileDescriptor(report.reader.release()));
  const message = new Int32Array(1);
  const count = await reader.read(new Uint8Array(message.buffer)).finally(() => reader.close());
  const exited = waitForChild(pidfd, pid).finally(() => pidfd.close());
  if (count > 0) {
    await exited;
    throw new KataError("system-call", {
      operation: "start program",
      object: request.path,
      errno: errnoName(message[0] ?? 0),
    });
  }
  return {
    pid,
    pidfd,
    exited,
    kill: (signal) => pidfd.isOpen && pidfdSendSignal(pidfd, signal),
  };
}

/** What the child does: never comes back. */
function becomeProgram(request: SpawnRequest, reportFd: number, parent: number): never {
  let failure: number;
  // Above all target numbers, so that placing them does not overwrite it.
  const report = duplicate(reportFd, request.descriptors.length).release();
  try {
    if (request.parentDeathSignal !== undefined) {
      prctl(PR_SET_PDEATHSIG, request.parentDeathSignal);
      // The parent may have ended before the line above.
      if (getppid() !== parent) kernel().syscall("exit_group", EXIT_NOT_EXECUTED);
    }
    if (request.newSession) setsid();
    else if (request.newProcessGroup) setpgid(0, 0);
    if (request.workingDirectory !== undefined) chdir(request.workingDirectory);
    request.prepare?.();
    placeDescriptors(request.descriptors);
    resetSignals();
    failure = -execve(request.path, request.args, request.environment);
  } catch (error) {
    failure = errnoNumber(error);
  }
  kernel().syscall("write", report, new Int32Array([failure]), 4);
  kernel().syscall("exit_group", EXIT_NOT_EXECUTED);
  throw new KataError("internal", { operation: "exit", object: "the child goes on" });
}

/** Gives the child its descriptors under their numbers; all others end with execve. */
function placeDescriptors(descriptors: readonly ChildDescriptor[]): void {
  // First out of the way of all target numbers, so that no target overwrites a source that comes later.
  const lowest = descriptors.length;
  const sources = descriptors.map((source) => {
    if (source !== "null") return duplicate(source, lowest).release();
    const fd = check(
      kernel().syscall("openat", AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0),
      "open",
      "/dev/null",
    );
    return duplicate(fd, lowest).release();
  });
  sources.forEach(duplicateTo);
  closeOnExecFrom(descriptors.length);
}

function errnoNumber(error: unknown): number {
  const name = error instanceof KataError ? error.errno : undefined;
  for (let errno = 1; name !== undefined && errno < 134; errno++) if (errnoName(errno) === name) return errno;
  return 22; // EINVAL: not a system call's failure
}
