/** Which of the machine's processes belong to one instance of containerd. */
import { environmentOf, listProcesses, type ProcessEntry } from "./processes.ts";

/** The processes that an instance started: they carry its tag in their environment, command line or both. */
export function processesOf(tag: string): ProcessEntry[] {
  const found = new Map<number, ProcessEntry>();
  const all = listProcesses().filter((entry) => entry.pid !== process.pid);
  for (const entry of all) {
    const named = entry.argv.some((part) => part.includes(tag));
    if (named || [...environmentOf(entry.pid).values()].includes(tag)) found.set(entry.pid, entry);
  }
  // A container's own processes know nothing of the tag, but descend from a shim that does.
  for (let grown = true; grown; ) {
    grown = false;
    for (const entry of all) {
      if (found.has(entry.pid) || !found.has(entry.parent)) continue;
      found.set(entry.pid, entry);
      grown = true;
    }
  }
  return [...found.values()];
}
