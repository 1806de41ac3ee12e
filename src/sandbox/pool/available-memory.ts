/** How much memory this host could give to something new. Source: proc(5), /proc/meminfo. */
import { readTextFile } from "../../sys/files.ts";

export function availableMemoryMib(): { readonly available: number; readonly total: number } {
  return parseMemoryInfo(readTextFile("/proc/meminfo"));
}

/** @param text of /proc/meminfo. */
export function parseMemoryInfo(text: string): { readonly available: number; readonly total: number } {
  const mib = (name: string) => {
    const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
    return Math.floor(Number(kib ?? 0) / 1024);
  };
  return { available: mib("MemAvailable"), total: mib("MemTotal") };
}
