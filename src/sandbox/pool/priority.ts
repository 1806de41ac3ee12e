/**
 * The priority of what is made ahead of time. Where the kernel groups tasks by sessions, a task's own counts only within its session,
 * and the session's has to be set as well.
 * Sources: setpriority(2); sched(7), "The autogroup feature".
 */
import { hasErrno } from "../../kata-error.ts";
import { readDirectory, writeExisting } from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";

const PRIO_PROCESS = 0;
/** Half of the way from ordinary to least. */
const LOW = 10;

/** Lowers the calling process's, which leads a session, and so its future children's. */
export function lowerPriority(): void {
  kernel().syscall("setpriority", PRIO_PROCESS, 0, LOW);
  setSessionPriority("self", LOW);
}

/** @param process a pid, or `self`. */
function setSessionPriority(process: string, priority: number): void {
  try {
    writeExisting(`/proc/${process}/autogroup`, String(priority));
  } catch (error) {
    // ENOENT: the kernel groups nothing by sessions. EAGAIN, EPERM: it lets who is not root change this now and then, or not at all.
    if (!hasErrno(error, "ENOENT", "ESRCH", "EAGAIN", "EPERM", "EACCES")) throw error;
  }
}

/** Gives all threads of a process, and its session, the ordinary priority. */
export function restorePriority(pid: number): void {
  setSessionPriority(String(pid), 0);
  try {
    for (const { name } of readDirectory(`/proc/${pid}/task`)) {
      if (/^\d+$/.test(name)) kernel().syscall("setpriority", PRIO_PROCESS, Number(name), 0);
    }
  } catch (error) {
    // It has ended, which is noticed elsewhere.
    if (!hasErrno(error, "ENOENT", "ESRCH")) throw error;
  }
}
