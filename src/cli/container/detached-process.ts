/**
 * The process that stands for a container, or for a process in it, on the host: its pid is in the engine's pid file, it ends when
 * the other does, with the same status.
 *
 * It is a clone of the calling command, which ends once the clone reports that all is done: so it becomes the child of whoever
 * reaps orphans, which is what conmon and containerd's shim for runc make themselves.
 *
 *      command ──clone──▶ process: own session ─▶ `prepare` ─▶ report ─▶ stdio given away ─▶ `live` ─▶ exit status
 *         └── reads the report, exits
 */

import { KataError } from "../../kata-error.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { O_RDWR, open } from "../../sys/files.ts";
import { pipe } from "../../sys/pipe.ts";
import { clone, duplicateTo, setsid, waitForChild } from "../../sys/process.ts";
import { exit, formatError, writeSync } from "../../sys/program.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { reportOf, throwReport } from "./container-call.ts";

const READY = "ready";
const EXIT_FAILED = 1;
const EXIT_BUG = 70;
const STDERR = 2;
/** Longest report, bytes. */
const MAX_REPORT_BYTES = 256 << 10;

export interface DetachedWork<T> {
  /** As messages name it. */
  readonly operation: string;
  /** Until it stands: what fails is the caller's failure. */
  readonly prepare: () => Promise<T>;
  /** What the process does not hold any more once it stands. */
  readonly release?: () => void;
  /** @returns the exit status. */
  readonly live: (prepared: T) => Promise<number>;
}

export interface DetachedProcess {
  readonly pid: number;
  /** Waits for its end and tells its exit status, for a command that stays. */
  readonly exited: () => Promise<number>;
}

/** Makes the process. @throws KataError what `prepare` threw; the process has ended then. */
export async function detach<T>(work: DetachedWork<T>): Promise<DetachedProcess> {
  using report = pipe();
  const cloned = clone({ flags: 0 });
  if (cloned.role === "child") {
    report.reader.close();
    return await becomeProcess(work, report.writer);
  }
  const { pid, pidfd } = cloned;
  report.writer.close();
  const exited = async () => {
    const { status } = await waitForChild(pidfd, pid);
    pidfd.close();
    return status;
  };
  const text = await readReport(new FileDescriptor(report.reader.release()));
  if (text === READY) return { pid, exited };
  await exited();
  throwReport(text, work.operation);
}

async function readReport(reader: FileDescriptor): Promise<string> {
  using stream = new FdStream(reader);
  const buffer = new Uint8Array(MAX_REPORT_BYTES);
  let length = 0;
  while (length < buffer.length) {
    const count = await stream.read(buffer.subarray(length));
    if (count === 0) break;
    length += count;
  }
  return utf8Decode(buffer.subarray(0, length));
}

async function becomeProcess<T>(work: DetachedWork<T>, report: FileDescriptor): Promise<never> {
  loop.abandon();
  try {
    // Opened while the host's files can be.
    const nothing = open("/dev/null", O_RDWR);
    setsid();
    const prepared = await work.prepare();
    work.release?.();
    writeSync(report.fd, READY);
    report.close();
    // Whoever reads the other ends sees the end when the container's process closes them, not when this one ends.
    for (const fd of [0, 1, 2]) duplicateTo(nothing.fd, fd);
    return exit(await work.live(prepared));
  } catch (error) {
    if (!report.isOpen) return exit(EXIT_BUG);
    if (!(error instanceof KataError)) writeSync(STDERR, formatError(error));
    writeSync(report.fd, reportOf(error));
    return exit(EXIT_FAILED);
  }
}
