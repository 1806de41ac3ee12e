/** The machine's processes, as /proc shows them. Source: proc(5). */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  /** Clock ticks from boot to its start; with the pid it names a process for ever. */
  readonly startedAt: number;
  /** The kernel's name for it: the first 15 bytes of its program's name. */
  readonly name: string;
  /** A letter: R, S, D, Z (zombie), … */
  readonly state: string;
  /** Argument vector; empty for kernel threads and zombies. */
  readonly argv: readonly string[];
}

/** All processes other than kernel threads. A process that ends during the look is left out. */
export function listProcesses(): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const entry = readProcess(Number(name));
    if (entry !== undefined && (entry.argv.length > 0 || entry.state === "Z")) entries.push(entry);
  }
  return entries;
}

/** The process `pid`, or undefined if there is none. */
export function readProcess(pid: number): ProcessEntry | undefined {
  const stat = readIfThere(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const close = stat.lastIndexOf(")");
  const fields = stat.slice(close + 2).split(" ");
  const [state = "?", parent = "0"] = fields;
  return {
    pid,
    parent: Number(parent),
    startedAt: Number(fields[19]),
    name: stat.slice(stat.indexOf("(") + 1, close),
    state,
    argv: (readIfThere(`/proc/${pid}/cmdline`) ?? "").split("\0").filter((part) => part !== ""),
  };
}

/** True if `entry` still runs and its pid was not given to another process since. */
export function isAlive(entry: Pick<ProcessEntry, "pid" | "startedAt">): boolean {
  const now = readProcess(entry.pid);
  return now !== undefined && now.startedAt === entry.startedAt && now.state !== "Z";
}

/** The environment it was started with, or an empty one if it is gone. */
export function environmentOf(pid: number): ReadonlyMap<string, string> {
  const text = readIfThere(`/proc/${pid}/environ`) ?? "";
  return new Map(
    text
      .split("\0")
      .filter((line) => line.includes("="))
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

/** The namespace of `kind` that it is in, such as `net:[4026531840]`, or undefined if it is gone. */
export function namespaceOf(pid: number, kind: "net" | "mnt" | "pid" | "uts"): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** Resident memory without pages shared with others where the kernel tells, bytes, or undefined if it is gone. */
export function residentBytes(pid: number): number | undefined {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readIfThere(`/proc/${pid}/status`) ?? "");
  return line?.[1] === undefined ? undefined : Number(line[1]) * 1024;
}

/** Kills `entry` unless it has ended since it was listed. @returns whether a signal was sent. */
export function killProcess(entry: Pick<ProcessEntry, "pid" | "startedAt">, signal: NodeJS.Signals): boolean {
  if (!isAlive(entry)) return false;
  try {
    return process.kill(entry.pid, signal);
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function isGone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  return ["ENOENT", "ESRCH", "EACCES"].includes(code);
}
