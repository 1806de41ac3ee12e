/** How large a disk is. */
import { readTextFile, S_IFBLK, S_IFMT, stat } from "../../sys/files.ts";

/** Bytes that a file or block device of the host has. Sizes in sysfs are in sectors of 512 bytes. */
export function diskBytes(path: string): bigint {
  const { mode, size, deviceMajor, deviceMinor } = stat(path);
  if ((mode & S_IFMT) !== S_IFBLK) return BigInt(size);
  return BigInt(readTextFile(`/sys/dev/block/${deviceMajor}:${deviceMinor}/size`).trim()) * 512n;
}
