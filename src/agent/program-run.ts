/**
 * Running another program to its end: a hook, `iptables-restore`, a file system's tool. What it reads and writes is in memory,
 * so that neither side waits for the other.
 */
import { KataError } from "../kata-error.ts";
import { CancelSource } from "../sys/cancellation.ts";
import { loop } from "../sys/event-loop.ts";
import { writeAll } from "../sys/files.ts";
import { check, kernel } from "../sys/kernel.ts";
import { memfdCreate } from "../sys/memory.ts";
import {
  clone,
  closeFrom,
  duplicate,
  duplicateTo,
  execve,
  kill,
  PR_SET_PDEATHSIG,
  prctl,
  resetSignals,
  SIGKILL,
  setsid,
  umask,
  waitSync,
} from "../sys/process.ts";
import { exit } from "../sys/program.ts";
import { utf8Decode, utf8Encode } from "../sys/utf8.ts";
import type { ChildReaper } from "./child-reaper.ts";

export interface ProgramRequest {
  /** Absolute. */
  readonly path: string;
  /** The program's own name first. */
  readonly args: readonly string[];
  readonly environment: readonly string[];
  readonly stdin: Uint8Array;
  /** Descriptors of this process that it gets as 3, 4, … */
  readonly given?: readonly number[];
  readonly deadlineMs: number;
  /** Most of stdout that is kept, bytes. */
  readonly outputLimit: number;
}

export interface ProgramResult {
  /** 0–255; 128 + signal if a signal ended it; 127 if it could not be executed. */
  readonly status: number;
  readonly stdout: Uint8Array;
  /** The beginning of what it wrote there. */
  readonly stderr: string;
}

const STDERR_LIMIT = 1024;
/** As a shell has it. */
const EXIT_NOT_EXECUTED = 127;

interface Files extends Disposable {
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
}

function makeFiles(stdin: Uint8Array): Files {
  const files = ["stdin", "stdout", "stderr"].map((name) => memfdCreate(name));
  const close = () => {
    for (const file of files) file.close();
  };
  const [input, output, errors] = files.map(({ fd }) => fd);
  if (input === undefined || output === undefined || errors === undefined)
    throw new RangeError("three files");
  try {
    writeAll(input, stdin);
    check(kernel().syscall("lseek", input, 0, 0), "rewind", "stdin");
  } catch (error) {
    close();
    throw error;
  }
  return { stdin: input, stdout: output, stderr: errors, [Symbol.dispose]: close };
}

/** The first `limit` bytes of a file. */
function head(fd: number, limit: number): Uint8Array {
  const size = check(kernel().syscall("lseek", fd, 0, 2), "read output", fd);
  const bytes = new Uint8Array(Math.min(limit, size));
  const count = check(kernel().syscall("pread64", fd, bytes, bytes.length, 0), "read output", fd);
  return bytes.subarray(0, count);
}

function start(request: ProgramRequest, files: Files) {
  const cloned = clone({ flags: 0 });
  if (cloned.role === "parent") return cloned;
  try {
    loop.abandon();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    umask(0o022);
    // First out of the way of all target numbers.
    const all = [files.stdin, files.stdout, files.stderr, ...(request.given ?? [])];
    const sources = all.map((fd) => duplicate(fd, all.length).release());
    sources.forEach((source, target) => {
      duplicateTo(source, target);
    });
    closeFrom(all.length);
    resetSignals();
    const errno = -execve(request.path, request.args, request.environment);
    writeAll(2, utf8Encode(`it cannot be executed: errno ${errno}`));
  } finally {
    exit(EXIT_NOT_EXECUTED);
  }
}

function resultOf(request: ProgramRequest, files: Files, status: number): ProgramResult {
  return {
    status,
    stdout: head(files.stdout, request.outputLimit),
    stderr: utf8Decode(head(files.stderr, STDERR_LIMIT)).trim(),
  };
}

function late({ path, deadlineMs }: ProgramRequest): KataError {
  return new KataError("deadline-exceeded", {
    operation: "run program",
    object: path,
    hint: `it did not end within ${deadlineMs} ms and was killed`,
  });
}

/** Runs a program as a child of the agent. @throws KataError `deadline-exceeded`; the program is killed then. */
export async function runProgramToEnd(request: ProgramRequest, reaper: ChildReaper): Promise<ProgramResult> {
  using files = makeFiles(request.stdin);
  const { pid, pidfd } = start(request, files);
  using _process = pidfd;
  const exited = reaper.exitOf(pid);
  const deadline = new CancelSource();
  const timer = loop.after(request.deadlineMs, () => {
    deadline.cancel();
    // With all that it has started: it is a session of its own.
    kill(-pid, SIGKILL);
  });
  try {
    const status = await exited;
    if (deadline.signal.aborted) throw late(request);
    return resultOf(request, files, status);
  } finally {
    timer.cancel();
  }
}

const POLLIN = 1;

/** Like {@link runProgramToEnd}, but nothing else goes on meanwhile: for a clone of the agent, which has no event loop. */
export function runProgramHere(request: ProgramRequest): ProgramResult {
  using files = makeFiles(request.stdin);
  const { pid, pidfd } = start(request, files);
  using process = pidfd;
  // struct pollfd: fd i32, events i16, revents i16; struct timespec: two 64-bit numbers.
  const poll = new Int32Array([process.fd, POLLIN]);
  const timeout = new BigInt64Array([
    BigInt(Math.floor(request.deadlineMs / 1000)),
    BigInt(request.deadlineMs % 1000) * 1_000_000n,
  ]);
  const ended = kernel().syscall("ppoll", poll, 1, timeout, null, 8);
  if (ended === 0) kill(-pid, SIGKILL);
  const status = waitSync(pid)?.status ?? EXIT_NOT_EXECUTED;
  if (ended === 0) throw late(request);
  return resultOf(request, files, status);
}
