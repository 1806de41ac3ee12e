/** New sizes for file systems in memory, after memory has been plugged in. */
import { FileDescriptor } from "../../sys/descriptor.ts";
import { AT_FDCWD } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { checkMountPoint, type Storage } from "./storage.ts";

const FSPICK_CLOEXEC = 1;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_RECONFIGURE = 7;
const PARAMETER = /^(size|nr_inodes|nr_blocks|mode|uid|gid)=(.+)$/;

/** Gives `storage`, a tmpfs that is mounted already, its parameters once more; flags of the mount stay as they are. */
export function remountEphemeral(storage: Storage): void {
  const path = storage.mountPoint;
  checkMountPoint(path);
  using context = new FileDescriptor(
    check(kernel().syscall("fspick", AT_FDCWD, path, FSPICK_CLOEXEC), "remount", path),
  );
  for (const option of storage.options) {
    const [, name, value] = PARAMETER.exec(option) ?? [];
    if (name === undefined || value === undefined) continue;
    const set = kernel().syscall("fsconfig", context.fd, FSCONFIG_SET_STRING, name, value, 0);
    check(set, `set ${option} of`, path);
  }
  check(kernel().syscall("fsconfig", context.fd, FSCONFIG_CMD_RECONFIGURE, null, null, 0), "remount", path);
}
