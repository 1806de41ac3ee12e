/** The files of the host that is looked at: this one, or a snapshot of another. */
import { describeError, hasErrno } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import {
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  open,
  openInRoot,
  read,
  readDirectoryFd,
  readlink,
  readToEnd,
  S_IFMT,
  S_IFREG,
  stat,
} from "../../sys/files.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import type { DeviceFact, FileFact } from "./host-facts.ts";

/** Paths are absolute, as the host itself has them. */
export interface HostRoot {
  /** Directory of a snapshot; undefined for this host. Nothing of a snapshot is executed, and no device of it is opened. */
  readonly directory: string | undefined;
  /** @throws KataError `system-call` with ENOENT if it is not there. */
  open(path: string, flags: number): FileDescriptor;
}

export const THIS_HOST: HostRoot = { directory: undefined, open };

/** @throws KataError `system-call` if `directory` is none. */
export function snapshotRoot(directory: string): HostRoot & Disposable {
  const root = open(directory, O_PATH | O_DIRECTORY);
  return {
    directory,
    // Links stay inside: those of the other host are meant for its own root.
    open: (path, flags) => openInRoot(root.fd, path, flags),
    [Symbol.dispose]: () => root.close(),
  };
}

/** A snapshot may have links that lead in a circle. */
const ABSENT = ["ENOENT", "ENOTDIR", "ELOOP"];

export function existsIn(host: HostRoot, path: string): boolean {
  try {
    host.open(path, O_PATH).close();
    return true;
  } catch (error) {
    if (hasErrno(error, ...ABSENT)) return false;
    throw error;
  }
}

/** A whole file; undefined if there is none. */
export function textIn(host: HostRoot, path: string, limit?: number): string | undefined {
  try {
    using file = host.open(path, O_RDONLY);
    return utf8Decode(readToEnd(file.fd, path, limit));
  } catch (error) {
    if (hasErrno(error, ...ABSENT)) return undefined;
    throw error;
  }
}

/** The path without links, as the host itself has it; undefined if nothing is there. */
export function realPathIn(host: HostRoot, path: string): string | undefined {
  try {
    using file = host.open(path, O_PATH);
    const real = readlink(`/proc/self/fd/${file.fd}`);
    if (host.directory === undefined) return real;
    using root = host.open("/", O_PATH);
    const above = readlink(`/proc/self/fd/${root.fd}`);
    return above === "/" ? real : real.slice(above.length);
  } catch (error) {
    if (hasErrno(error, ...ABSENT)) return undefined;
    throw error;
  }
}

/** Names in a directory; none if there is no such directory. */
export function namesIn(host: HostRoot, path: string): string[] {
  try {
    using directory = host.open(path, O_RDONLY | O_DIRECTORY);
    return readDirectoryFd(directory.fd, path).map(({ name }) => name);
  } catch (error) {
    if (hasErrno(error, ...ABSENT)) return [];
    throw error;
  }
}

export function fileFact(host: HostRoot, path: string): FileFact {
  if (path === "") return { usable: false, path, why: "not set" };
  try {
    using file = host.open(path, O_PATH);
    const { mode, size } = stat(`/proc/self/fd/${file.fd}`);
    if ((mode & S_IFMT) !== S_IFREG) return { usable: false, path, why: "no ordinary file" };
    if (size === 0) return { usable: false, path, why: "empty" };
    host.open(path, O_RDONLY).close();
    return { usable: true, path, bytes: size };
  } catch (error) {
    return { usable: false, path, why: reason(error) };
  }
}

/** The first bytes of a file. */
export function headIn(host: HostRoot, path: string, bytes: number): Uint8Array {
  using file = host.open(path, O_RDONLY);
  const head = new Uint8Array(bytes);
  return head.subarray(0, read(file.fd, head));
}

/** Whether a device can be opened for reading and writing; of a snapshot, whether it is there. */
export function deviceFact(host: HostRoot, path: string): DeviceFact {
  try {
    host.open(path, host.directory === undefined ? O_RDWR : O_PATH).close();
    return { usable: true };
  } catch (error) {
    return { usable: false, why: reason(error) };
  }
}

function reason(error: unknown): string {
  if (hasErrno(error, ...ABSENT, "ENXIO", "ENODEV")) return "missing";
  if (hasErrno(error, "EACCES", "EPERM")) return "no permission";
  return describeError(error);
}
