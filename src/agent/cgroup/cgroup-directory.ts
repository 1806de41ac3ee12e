/**
 * One directory of a cgroup hierarchy: making it, its files, its processes, removing it with all below it.
 * Source: cgroups(7).
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { CgroupWrite } from "../../oci/cgroup-write.ts";
import type { LinuxResources } from "../../oci/types.ts";
import { sleep } from "../../sys/clock.ts";
import { EBUSY, ENODEV, ENOENT } from "../../sys/errno.ts";
import { loop } from "../../sys/event-loop.ts";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  exists,
  mkdirIfMissing,
  readDirectory,
  readTextFile,
  readTextFileIfExists,
  writeExisting,
} from "../../sys/files.ts";
import { kernel, systemCallError } from "../../sys/kernel.ts";
import { kill, SIGKILL } from "../../sys/process.ts";

/** The kernel lets go of a cgroup some time after its last process has ended, ms. */
const REMOVE_DEADLINE_MS = 10_000;
const REMOVE_INTERVAL_MS = 5;
/** Deepest tree of cgroups that a container is allowed to leave; the kernel's default has no bound. */
const MAX_DEPTH = 64;

/** The directories from the mount's first to the last of `relative` (`/a/b`). */
export function directoriesOf(mountPoint: string, relative: string): string[] {
  const parts = relative.split("/").filter((part) => part !== "");
  return parts.map((_, index) => `${mountPoint}/${parts.slice(0, index + 1).join("/")}`);
}

/**
 * Makes the directories of `relative`, the last of which is to be a container's.
 *
 * @param onMade prepares a directory that was not there before.
 * @returns those that were made, in order.
 * @throws KataError `already-exists` if processes are in the last one.
 */
export function makeDirectories(
  mountPoint: string,
  relative: string,
  onMade: (directory: string, parent: string) => void,
): string[] {
  const made: string[] = [];
  let parent = mountPoint;
  let last = false;
  for (const directory of directoriesOf(mountPoint, relative)) {
    last = mkdirIfMissing(directory);
    if (last) {
      made.push(directory);
      onMade(directory, parent);
    }
    parent = directory;
  }
  if (!last && processesIn(parent).length > 0) {
    throw new KataError("already-exists", {
      operation: "make cgroup",
      object: parent,
      hint: "processes of somebody else are in it; another container has the same cgroupsPath",
    });
  }
  return made;
}

/** The pids in `directory` itself; none if it is gone. */
export function processesIn(directory: string): number[] {
  return (readTextFileIfExists(`${directory}/cgroup.procs`) ?? "")
    .split("\n")
    .filter((line) => line !== "" && line !== "0")
    .map(Number);
}

/** `directory` and all below it, the deepest first. */
export function treeOf(directory: string, depth = 0): string[] {
  if (depth > MAX_DEPTH) {
    throw new KataError("invalid-argument", {
      operation: "look into cgroup",
      object: directory,
      hint: `cgroups are nested more than ${MAX_DEPTH} deep`,
    });
  }
  let entries: ReturnType<typeof readDirectory>;
  try {
    entries = readDirectory(directory);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
  const children = entries.filter(({ type }) => type === "directory");
  return [...children.flatMap(({ name }) => treeOf(`${directory}/${name}`, depth + 1)), directory];
}

/** Most processes that are told of: a container can make any number. */
const MAX_LISTED = 10_000;

/** The pids in `directory` and below. */
export function processesBelow(directory: string): number[] {
  return treeOf(directory).flatMap(processesIn).slice(0, MAX_LISTED);
}

/** Sends SIGKILL to all processes of `directory` and below. @returns how many there were. */
export function killProcesses(directory: string): number {
  const pids = treeOf(directory).flatMap(processesIn);
  for (const pid of pids) kill(pid, SIGKILL);
  return pids.length;
}

/**
 * Removes `directory` with all cgroups below it; processes in it are on their way out.
 *
 * @throws KataError `system-call` with EBUSY if it still has some after 10 s.
 */
export async function removeTree(directory: string): Promise<void> {
  const end = loop.now() + REMOVE_DEADLINE_MS;
  for (;;) {
    const result = removeOnce(directory);
    if (result === 0) return;
    // A cgroup that is in use says so and cannot be waited for.
    if (result !== -EBUSY || loop.now() > end) throw systemCallError(result, "remove cgroup", directory);
    await sleep(loop, REMOVE_INTERVAL_MS);
  }
}

function removeOnce(directory: string): number {
  // Most containers make no cgroups of their own.
  let result = removeDirectory(directory);
  if (result !== -EBUSY) return result;
  for (const path of treeOf(directory)) {
    result = removeDirectory(path);
    if (result !== 0) return result;
  }
  return 0;
}

/** @returns 0 if it is gone. */
function removeDirectory(path: string): number {
  const result = kernel().syscall("unlinkat", AT_FDCWD, path, AT_REMOVEDIR);
  return result === -ENOENT || result === -ENODEV ? 0 : result;
}

/** Removes those of `directories` that nobody has put anything into, the last one first. */
export function removeIfUnused(directories: readonly string[]): void {
  for (const directory of [...directories].reverse()) {
    kernel().syscall("unlinkat", AT_FDCWD, directory, AT_REMOVEDIR);
  }
}

/**
 * Makes one write to `directory`.
 *
 * @throws KataError `unsupported` if the kernel has no such file, `system-call` if it refuses the value.
 */
export function writeLimit(directory: string, write: CgroupWrite): void {
  const path = `${directory}/${write.file}`;
  if (exists(path)) {
    writeExisting(path, write.value);
    return;
  }
  if (write.otherwise !== undefined) writeLimit(directory, write.otherwise);
  else if (write.optional !== true) throw missing(write);
}

export function missing(write: CgroupWrite): KataError {
  return new KataError("unsupported", {
    operation: `set ${write.file}`,
    object: write.value,
    hint: `the kernel has no such limit; the controller is ${write.controller}`,
  });
}

/** A file's content without its last newline. */
export function readValue(directory: string, file: string): string {
  return readTextFile(`${directory}/${file}`).trimEnd();
}

/** {@link readValue}, or undefined if the kernel has no such file. */
export function readValueIfExists(directory: string, file: string): string | undefined {
  return readTextFileIfExists(`${directory}/${file}`)?.trimEnd();
}

/**
 * Keeps a limit from ending what runs, if the spec asks for that.
 *
 * @throws KataError `failed-precondition` if more memory is in use than the new limit allows.
 */
export function checkMemoryUse({ memory }: LinuxResources, inUse: () => string | undefined): void {
  const limit = memory?.checkBeforeUpdate === true ? BigInt(memory.limit ?? 0) : 0n;
  if (limit <= 0n) return;
  const used = BigInt(inUse() ?? 0);
  if (used <= limit) return;
  throw new KataError("failed-precondition", {
    operation: "set memory limit",
    object: `${limit} bytes`,
    hint: `${used} bytes are in use, and the spec asks to check (checkBeforeUpdate)`,
  });
}
