/** What an agent process has on the machine at a moment, to compare before and after. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

export interface Footprint {
  /** Names of its children, grandchildren, …, zombies included. */
  readonly processes: readonly string[];
  /** Mount points in its mount namespace. */
  readonly mounts: readonly string[];
  /** Its cgroups, as directories. */
  readonly cgroups: readonly string[];
  /** What its descriptors are, without their numbers. */
  readonly descriptors: readonly string[];
}

export function footprintOf(pid: number): Footprint {
  return {
    processes: descendantsOf(pid).map((child) => nameOf(child)),
    mounts: readFileSync(`/proc/${pid}/mountinfo`, "utf8")
      .trim()
      .split("\n")
      .map((line) => line.split(" ")[4] ?? ""),
    cgroups: agentCgroups(pid),
    descriptors: readdirSync(`/proc/${pid}/fd`)
      .map((fd) => kindOf(pid, fd))
      .sort(),
  };
}

/**
 * What of `now` was not there before. The other way round is no leak: what ended meanwhile belonged to an earlier test, whose last
 * traces a look at the beginning of a test may still see.
 */
export function leftBehind(before: Footprint, now: Footprint): Partial<Footprint> {
  const kinds = ["processes", "mounts", "cgroups", "descriptors"] as const;
  const left = kinds.map((kind) => [kind, withoutEach(now[kind], before[kind])] as const);
  return Object.fromEntries(left.filter(([, things]) => things.length > 0));
}

/** `things` less one for each of `others`. */
function withoutEach(things: readonly string[], others: readonly string[]): string[] {
  const remaining = [...things];
  for (const other of others) {
    const index = remaining.indexOf(other);
    if (index >= 0) remaining.splice(index, 1);
  }
  return remaining;
}

/** Processes below `pid`, at any depth. */
export function descendantsOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const parent = parentOf(Number(entry));
    if (parent === undefined) continue;
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
  }
  const below = (root: number): number[] =>
    (children.get(root) ?? []).flatMap((child) => [child, ...below(child)]);
  return below(pid);
}

/** Whether `pid` is there and no zombie. */
export function isAlive(pid: number): boolean {
  const state = statOf(pid)?.[0];
  return state !== undefined && state !== "Z" && state !== "X";
}

/** Fields of /proc/PID/stat after the name: state, parent, … */
function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    // It has ended since it was listed.
    return undefined;
  }
}

function parentOf(pid: number): number | undefined {
  const parent = statOf(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "ended";
  }
}

/** Directories below `kata-agent-PID` in every hierarchy. */
export function agentCgroups(pid: number): string[] {
  const root = "/sys/fs/cgroup";
  const name = `kata-agent-${pid}`;
  return ["", ...readdirSync(root)]
    .map((hierarchy) => join(root, hierarchy, name))
    .flatMap((directory) => directoriesBelow(directory))
    .sort();
}

function directoriesBelow(directory: string): string[] {
  try {
    const inner = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [directory, ...inner.flatMap((entry) => directoriesBelow(join(directory, entry.name)))];
  } catch {
    // There is none in this hierarchy.
    return [];
  }
}

function kindOf(pid: number, fd: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/\[\d+\]/, "");
  } catch {
    return "closed";
  }
}
