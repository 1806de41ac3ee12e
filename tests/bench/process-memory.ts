/** What a process's memory is of, as the kernel tells. Source: proc(5), /proc/PID/smaps. */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";

/** A file that is mapped, or memory without one: `[heap]`, or no name. Sizes in bytes. */
export interface Mapping {
  readonly name: string;
  /** Such as `r-xp`. */
  readonly permissions: string;
  readonly resident: number;
  /** Each page divided by the number of processes that have it. */
  readonly proportional: number;
}

/** How the kernel names memory files. */
const MEMORY_FILE = "/memfd:";
const STAT_BLOCK = 512;

export function mappingsOf(pid: number): Mapping[] {
  return parseMappings(readFileSync(`/proc/${pid}/smaps`, "utf8"));
}

/** @param text of an smaps. */
export function parseMappings(text: string): Mapping[] {
  return text
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((block) => block !== "")
    .map((block) => {
      const [, permissions = "", name = ""] = /^\S+ (\S+) \S+ \S+ \d+[ \t]*(.*)$/m.exec(block) ?? [];
      const bytes = (field: string) =>
        Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(block)?.[1] ?? 0) * 1024;
      return { name, permissions, resident: bytes("Rss"), proportional: bytes("Pss") };
    });
}

/** Whether it is a guest's memory, which monitor and file server share. */
export function isGuestMemory({ name }: Mapping): boolean {
  return name.startsWith(MEMORY_FILE);
}

/** What the host has given for the memory files that a process has open, whether or not it has touched them itself; bytes. */
export function memoryFilesOf(pid: number): number {
  const directory = `/proc/${pid}/fd`;
  const files = new Map<number, number>();
  for (const name of readdirSync(directory)) {
    const path = `${directory}/${name}`;
    const facts = targetOf(path).startsWith(MEMORY_FILE)
      ? statSync(path, { throwIfNoEntry: false })
      : undefined;
    if (facts !== undefined) files.set(facts.ino, facts.blocks * STAT_BLOCK);
  }
  return [...files.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/** Empty if the descriptor has been closed since it was listed. */
function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
