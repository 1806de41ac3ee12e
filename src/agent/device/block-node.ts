/** Nodes of block devices, where devtmpfs has not made them yet. */
import { hasErrno } from "../../kata-error.ts";
import { AT_FDCWD, mknodat, S_IFBLK } from "../../sys/files.ts";

/** Makes the node at `path`, unless it is there: the kernel makes its own at the same time, soon after sysfs tells of a device. */
export function makeBlockNode(path: string, major: number, minor: number): void {
  try {
    mknodat(AT_FDCWD, path, S_IFBLK | 0o600, major, minor);
  } catch (error) {
    if (!hasErrno(error, "EEXIST")) throw error;
  }
}
