/** New sizes for file systems in memory, after memory has been plugged in. */
import { AT_FDCWD } from "../../sys/files.ts";
import { fsconfigReconfigure, fsconfigString, fspick } from "../../sys/new-mount-api.ts";
import { checkMountPoint, type Storage } from "./storage.ts";

const PARAMETER = /^(size|nr_inodes|nr_blocks|mode|uid|gid)=(.+)$/;

/** Gives `storage`, a tmpfs that is mounted already, its parameters once more; flags of the mount stay as they are. */
export function remountEphemeral(storage: Storage): void {
  const path = storage.mountPoint;
  checkMountPoint(path);
  using context = fspick(AT_FDCWD, path);
  for (const option of storage.options) {
    const [, name, value] = PARAMETER.exec(option) ?? [];
    if (name === undefined || value === undefined) continue;
    fsconfigString(context, name, value);
  }
  fsconfigReconfigure(context);
}
