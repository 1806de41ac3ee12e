/** What a process does with a signal. Source: proc(5), /proc/PID/status. */
import { readTextFileIfExists } from "../../sys/files.ts";

/** Whether `mask`, a hexadecimal signal set as in /proc/PID/status, holds `signal`. */
export function maskHolds(mask: string, signal: number): boolean {
  return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}

/** Whether the process catches `signal`, or has chosen to ignore it. A process that is gone does neither. */
export function handlesSignal(pid: number, signal: number): boolean {
  const status = readTextFileIfExists(`/proc/${pid}/status`) ?? "";
  return ["SigCgt", "SigIgn"].some((field) => {
    const mask = new RegExp(`^${field}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1];
    return mask !== undefined && maskHolds(mask, signal);
  });
}
