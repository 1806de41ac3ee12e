/**
 * Hiding and write-protecting what the kernel shows in every container.
 *
 * The cover of a masked file is the agent's own /dev/null, not the container's (CVE-2025-31133).
 * Source: runtime-spec, "Masked Paths", "Readonly Paths".
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  modeOf,
  O_PATH,
  openInRootIfThere,
  S_IFCHR,
  S_IFDIR,
  S_IFMT,
  statx,
} from "../../sys/files.ts";
import {
  AT_RECURSIVE,
  fsconfigCreate,
  fsconfigString,
  fsmount,
  fsopen,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  mountSetattr,
  OPEN_TREE_CLONE,
  openTree,
} from "../../sys/new-mount-api.ts";
import { attach } from "./mounts.ts";

const CLONE_OPEN = OPEN_TREE_CLONE | AT_EMPTY_PATH;

/** Covers each of `paths` below `root`: a directory by an empty one, anything else by /dev/null. Missing ones are skipped. */
export function maskPaths(root: number, paths: readonly string[]): void {
  let emptyDirectory: FileDescriptor | undefined;
  using nullDevice = openTree(AT_FDCWD, "/dev/null", 0);
  const kind = statx(nullDevice.fd, "", AT_EMPTY_PATH);
  if ((kind.mode & S_IFMT) !== S_IFCHR || kind.deviceMajor !== 1 || kind.deviceMinor !== 3) {
    throw new KataError("failed-precondition", {
      operation: "mask paths",
      object: "/dev/null is not the null device",
    });
  }
  try {
    for (const path of paths) {
      using target = openIfThere(root, path);
      if (target === undefined) continue;
      if ((modeOf(target.fd) & S_IFMT) === S_IFDIR) {
        if (emptyDirectory === undefined) {
          emptyDirectory = newEmptyDirectory();
          attach(emptyDirectory, target);
        } else {
          // One file system serves them all: once attached, its mount can be cloned.
          using copy = openTree(emptyDirectory.fd, "", CLONE_OPEN);
          attach(copy, target);
        }
      } else {
        using cover = openTree(nullDevice.fd, "", CLONE_OPEN);
        attach(cover, target);
      }
    }
  } finally {
    emptyDirectory?.close();
  }
}

function newEmptyDirectory(): FileDescriptor {
  using context = fsopen("tmpfs");
  fsconfigString(context, "size", "0");
  fsconfigString(context, "nr_inodes", "2");
  fsconfigCreate(context);
  return fsmount(context, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/** Makes each of `paths` below `root`, with all that is mounted below it, read-only. Missing ones are skipped. */
export function protectPaths(root: number, paths: readonly string[]): void {
  for (const path of paths) {
    using target = openIfThere(root, path);
    if (target === undefined) continue;
    using copy = openTree(target.fd, "", CLONE_OPEN | AT_RECURSIVE);
    mountSetattr(copy.fd, "", AT_EMPTY_PATH | AT_RECURSIVE, { set: MOUNT_ATTR_RDONLY, clear: 0 });
    attach(copy, target);
  }
}

function openIfThere(root: number, path: string): FileDescriptor | undefined {
  try {
    return openInRootIfThere(root, path, O_PATH);
  } catch (error) {
    if (hasErrno(error, "ENOTDIR")) return undefined;
    throw error;
  }
}
