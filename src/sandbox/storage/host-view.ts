/** The host's file system, as far as mounts are planned by it. */
import {
  filesystemType,
  O_PATH,
  open,
  readlink,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  S_IFSOCK,
  stat,
  statIfExists,
} from "../../sys/files.ts";
import { readMountInfo } from "../../sys/mountinfo.ts";
import type { HostView, SourceType } from "./plan-mounts.ts";

const TYPES: ReadonlyMap<number, SourceType> = new Map([
  [S_IFDIR, "directory"],
  [S_IFSOCK, "socket"],
  [S_IFIFO, "fifo"],
  [S_IFCHR, "character-device"],
  [S_IFBLK, "block-device"],
]);

/** File systems below /dev that are the kernel's: devpts, mqueue, hugetlbfs. Source: Linux include/uapi/linux/magic.h. */
const KERNEL_FILESYSTEMS: ReadonlySet<number> = new Set([0x1cd1, 0x1980_0202, 0x9584_58f6]);

export const hostView: HostView = {
  typeOf(path) {
    if (path === "") return undefined;
    const status = statIfExists(path);
    return status === undefined ? undefined : (TYPES.get(status.mode & S_IFMT) ?? "file");
  },

  isDeviceTree(path) {
    const [here, dev] = [stat(path), stat("/dev")];
    if (here.onMajor === dev.onMajor && here.onMinor === dev.onMinor) return true;
    using directory = open(path, O_PATH);
    return KERNEL_FILESYSTEMS.has(filesystemType(directory.fd));
  },

  hasMountsBelow(path) {
    using file = open(path, O_PATH);
    const real = readlink(`/proc/self/fd/${file.fd}`);
    const below = real === "/" ? "/" : `${real}/`;
    return readMountInfo().some(({ mountPoint }) => mountPoint.startsWith(below) && mountPoint !== "/");
  },
};
