/** The socket that a shim listens on: made, found alive, or found left behind. */
import { hasErrno, KataError } from "../kata-error.ts";
import type { FileDescriptor } from "../sys/descriptor.ts";
import { mkdirAll, mkdirIfMissing, unlinkIfExists } from "../sys/files.ts";
import { umask } from "../sys/process.ts";
import { connect, listen } from "../sys/socket.ts";

/** Only who may do everything anyway may connect. */
const SOCKET_UMASK = 0o177;
const DIRECTORY_MODE = 0o700;
/** What containerd gives the directory above, which holds more than sockets. */
const PARENT_MODE = 0o711;

/**
 * Listens at `path`, in the place of a socket that nobody answers at any more.
 *
 * @throws KataError `already-exists` if a shim answers there.
 */
export async function listenAt(path: string): Promise<FileDescriptor> {
  try {
    makeDirectory(path.slice(0, path.lastIndexOf("/")));
    try {
      return bind(path);
    } catch (error) {
      if (!hasErrno(error, "EADDRINUSE")) throw error;
      if (await answers(path)) {
        throw new KataError("already-exists", {
          operation: "start shim",
          object: path,
          hint: "a shim of this container is running; delete the container first",
        });
      }
      unlinkIfExists(path);
      return bind(path);
    }
  } catch (error) {
    if (!hasErrno(error, "ENOSPC", "EDQUOT", "EROFS")) throw error;
    throw new KataError("system-call", {
      operation: "make socket of the shim",
      object: path,
      errno: error.errno,
      hint: "make room on the file system of /run",
      cause: error,
    });
  }
}

/** Whether somebody listens at `path`. */
export async function answers(path: string): Promise<boolean> {
  try {
    const stream = await connect({ kind: "unix", path });
    stream.close();
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ECONNREFUSED", "ENOTDIR")) return false;
    // So many wait there that the queue is full.
    if (hasErrno(error, "EAGAIN")) return true;
    throw error;
  }
}

function makeDirectory(path: string): void {
  mkdirAll(path.slice(0, path.lastIndexOf("/")) || "/", PARENT_MODE);
  mkdirIfMissing(path, DIRECTORY_MODE);
}

function bind(path: string): FileDescriptor {
  const before = umask(SOCKET_UMASK);
  try {
    return listen({ kind: "unix", path });
  } finally {
    umask(before);
  }
}
