/** Telling a process from another that got its pid later. Source: proc_pid_stat(5). */
import { hasErrno } from "../kata-error.ts";
import { readTextFileIfExists } from "../sys/files.ts";

/** When process `pid` was started, clock ticks after boot; undefined if there is none. */
export function processStartTime(pid: number): number | undefined {
  try {
    const text = readTextFileIfExists(`/proc/${pid}/stat`);
    return text === undefined ? undefined : parseStartTime(text);
  } catch (error) {
    // It ended between open(2) and read(2).
    if (hasErrno(error, "ESRCH")) return undefined;
    throw error;
  }
}

/** The 22nd field; the second is the program's name, which may hold spaces and parentheses. */
export function parseStartTime(stat: string): number | undefined {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const text = fields[22 - 3];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
