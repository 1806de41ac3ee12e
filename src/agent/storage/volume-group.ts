/**
 * Giving a volume to a group, as Kubernetes' fsGroup asks: every entry belongs to it and may be read and written by it.
 * Source: Kubernetes, "Configure volume permission and ownership change policy for Pods".
 */
import { KataError } from "../../kata-error.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  fchmod,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  open,
  openat,
  readDirectoryFd,
  statx,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import type { StorageGroup } from "./storage.ts";

const MAX_DEPTH = 128;
const GROUP_DIRECTORY_BITS = 0o2770;
const GROUP_FILE_BITS = 0o660;

/** Changes `path` and all below it; links stay as they are. */
export function applyVolumeGroup(path: string, group: StorageGroup): void {
  using root = open(path, O_RDONLY | O_DIRECTORY);
  if (group.onRootMismatch) {
    const status = statx(root.fd, "", AT_EMPTY_PATH);
    const hasBits = (status.mode & GROUP_DIRECTORY_BITS) === GROUP_DIRECTORY_BITS;
    if (status.gid === group.gid && hasBits) return;
  }
  changeTree(root.fd, path, group.gid, 0);
}

function changeTree(directory: number, path: string, gid: number, depth: number): void {
  if (depth > MAX_DEPTH) {
    throw new KataError("invalid-argument", {
      operation: "change group of volume",
      object: path,
      hint: "it is too deep",
    });
  }
  for (const { name, type } of readDirectoryFd(directory, path)) {
    if (type === "directory") {
      using child = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      changeTree(child.fd, `${path}/${name}`, gid, depth + 1);
    } else {
      check(
        kernel().syscall("fchownat", directory, name, -1, gid, AT_SYMLINK_NOFOLLOW),
        "change group of",
        name,
      );
      if (type !== "file") continue;
      using file = openat(directory, name, O_RDONLY | O_NOFOLLOW);
      fchmod(file.fd, (statx(file.fd, "", AT_EMPTY_PATH).mode & 0o7777) | GROUP_FILE_BITS);
    }
  }
  check(kernel().syscall("fchown", directory, -1, gid), "change group of", path);
  fchmod(directory, (statx(directory, "", AT_EMPTY_PATH).mode & 0o7777) | GROUP_DIRECTORY_BITS);
}
