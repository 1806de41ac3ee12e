/**
 * Bringing CPUs and memory that the host has plugged in into use.
 * Source: Linux Documentation/admin-guide/cputopology.rst, memory-hotplug.rst.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { type Clock, sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { readDirectory, readTextFileIfExists, writeExisting } from "../../sys/files.ts";

const CPUS = "/sys/devices/system/cpu";
const MEMORY = "/sys/devices/system/memory";

/** How long and how often to look for CPUs that have been promised, ms. */
const CPU_DEADLINE_MS = 5000;
const CPU_INTERVAL_MS = 20;

/** Sets all that is there online: `NAME/online` from 0 to 1. @returns how many it set. */
function onlineAll(directory: string, name: RegExp): number {
  let count = 0;
  for (const entry of readDirectory(directory)) {
    if (!name.test(entry.name)) continue;
    const path = `${directory}/${entry.name}/online`;
    // The boot CPU of some machines has no such file: it cannot be taken offline.
    if (readTextFileIfExists(path)?.trim() !== "0") continue;
    try {
      writeExisting(path, "1");
      count++;
    } catch (error) {
      // EBUSY: the kernel's own policy is setting it online at this moment; EINVAL: a block with a hole stays offline.
      if (!hasErrno(error, "EBUSY", "EINVAL")) throw error;
    }
  }
  return count;
}

/** CPUs in a list such as `0-3,8`. */
export function countCpus(list: string): number {
  let count = 0;
  for (const range of list.trim().split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(range);
    if (match !== null) count += Number(match[2] ?? match[1]) - Number(match[1]) + 1;
  }
  return count;
}

/**
 * Sets CPUs online and, with `wait`, waits until `expected` more than before are there.
 *
 * @throws KataError `deadline-exceeded` if they do not come.
 */
export async function onlineCpus(expected: number, wait: boolean, clock: Clock = loop): Promise<void> {
  const deadline = clock.now() + CPU_DEADLINE_MS;
  let done = onlineAll(CPUS, /^cpu\d+$/);
  while (wait && done < expected && countCpus(readTextFileIfExists(`${CPUS}/online`) ?? "") < expected) {
    if (clock.now() >= deadline) {
      throw new KataError("deadline-exceeded", {
        operation: "set CPUs online",
        object: `${done} of ${expected}`,
        hint: "the host has not plugged in the others",
      });
    }
    await sleep(clock, CPU_INTERVAL_MS);
    done += onlineAll(CPUS, /^cpu\d+$/);
  }
}

/** Sets all memory blocks online. A kernel without memory hot-plug has none. */
export function onlineMemory(): void {
  if (readTextFileIfExists(`${MEMORY}/block_size_bytes`) !== undefined) onlineAll(MEMORY, /^memory\d+$/);
}

/** Size of a memory block, bytes; 0 without memory hot-plug. */
export function memoryBlockSize(): number {
  const text = readTextFileIfExists(`${MEMORY}/block_size_bytes`);
  return text === undefined ? 0 : Number.parseInt(text.trim(), 16);
}

/** Whether memory has to be announced to the kernel by address. */
export function supportsMemoryProbe(): boolean {
  return readTextFileIfExists(`${MEMORY}/probe`) !== undefined;
}

/** Announces memory at each of `addresses`. */
export function probeMemory(addresses: readonly bigint[]): void {
  for (const address of addresses) writeExisting(`${MEMORY}/probe`, `0x${address.toString(16)}`);
}
