/** What keepers of a pool have left in the file system that were killed. */
import { hasErrno } from "../../kata-error.ts";
import { open, readDirectory, removeTree, statIfExists } from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";

const SHARES = "/run/kata-containers/shared/sandboxes";
const RUNS = "/run/kata";

/** Removes the directories of machines whose names begin with `prefix` and whose keepers, and shims, are gone. */
export function removeRemains(prefix: string): void {
  for (const parent of [SHARES, RUNS]) {
    if (statIfExists(parent) === undefined) continue;
    for (const { name } of readDirectory(parent)) {
      if (name.startsWith(prefix) && !isKept(name)) removeTree(`${parent}/${name}`);
    }
  }
}

/** Whether the keeper of that name, or the shim that has its machine, may still be there: its process is. */
function isKept(name: string): boolean {
  try {
    return readDirectory("/proc").some(
      ({ name: pid }) => /^\d+$/.test(pid) && commandLine(pid).includes(name),
    );
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
}

function commandLine(pid: string): string {
  try {
    using file = open(`/proc/${pid}/cmdline`, 0);
    const bytes = new Uint8Array(4096);
    const count = kernel().syscall("read", file.fd, bytes, bytes.length);
    return String.fromCharCode(...bytes.subarray(0, Math.max(count, 0)));
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return "";
    throw error;
  }
}
