/** The priority of what is made ahead of time. Sources: setpriority(2), sched(7). */
import { hasErrno } from "../../kata-error.ts";
import { readDirectory } from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";

const PRIO_PROCESS = 0;
/** Half of the way from ordinary to least. */
const LOW = 10;

/** Lowers the calling process's, and so its future children's. */
export function lowerPriority(): void {
  kernel().syscall("setpriority", PRIO_PROCESS, 0, LOW);
}

/** Gives all threads of a process the ordinary priority. */
export function restorePriority(pid: number): void {
  try {
    for (const { name } of readDirectory(`/proc/${pid}/task`)) {
      if (/^\d+$/.test(name)) kernel().syscall("setpriority", PRIO_PROCESS, Number(name), 0);
    }
  } catch (error) {
    // It has ended, which is noticed elsewhere.
    if (!hasErrno(error, "ENOENT", "ESRCH")) throw error;
  }
}
