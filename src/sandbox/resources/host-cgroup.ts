/**
 * The cgroup that a sandbox's helper programs run in on the host, derived from the container's.
 *
 * With `sandbox_cgroup_only` it lies beside where the pod's containers would be, so that the pod's limits hold for all of it;
 * else in `/kata_overhead`, which has none.
 * Sources: cgroups(7); upstream Kata Containers, "Host cgroup management".
 */
import { describeError, hasErrno } from "../../kata-error.ts";
import { cgroupDirectory, parseCgroupsPath } from "../../oci/cgroups-path.ts";
import { type Clock, sleep } from "../../sys/clock.ts";
import { exists, mkdirAll, mkdirIfMissing, readDirectory, rmdirIfExists, stat } from "../../sys/files.ts";
import type { Logger } from "../types.ts";

const CGROUP_MOUNT = "/sys/fs/cgroup";
const OVERHEAD = "/kata_overhead";

/** Version 1's hierarchies that say what the sandbox costs. */
const ACCOUNTING = ["cpu", "cpuacct", "memory", "pids", "blkio"];

/** A group whose last process has ended may still be busy for a moment, on a loaded host for a long one. */
const REMOVE_TRIES = 105;
/** Most are busy for a millisecond or two: the pause begins with the first and doubles up to the second, ms. */
const FIRST_INTERVAL_MS = 1;
const LAST_INTERVAL_MS = 20;

/** The path of the group below each hierarchy. */
export function hostCgroupPath(
  id: string,
  cgroupsPath: string | undefined,
  sandboxCgroupOnly: boolean,
): string {
  return sandboxCgroupOnly ? podGroupPath(id, cgroupsPath) : `${OVERHEAD}/${id}`;
}

/** The path of the group beside the pod's containers. */
export function podGroupPath(id: string, cgroupsPath: string | undefined): string {
  const path = cgroupDirectory(parseCgroupsPath(cgroupsPath), `/vc/${id}`);
  const slash = path.lastIndexOf("/");
  return `${path.slice(0, slash)}/kata_${path.slice(slash + 1)}`;
}

/** Mount points by controller, `unified` for version 2 where it has all of them. */
export function cgroupMounts(): ReadonlyMap<string, string> {
  if (exists(`${CGROUP_MOUNT}/cgroup.controllers`)) return new Map([["unified", CGROUP_MOUNT]]);
  if (!exists(CGROUP_MOUNT)) return new Map();
  const mounts = new Map<string, string>();
  for (const { name } of readDirectory(CGROUP_MOUNT)) {
    const root = `${CGROUP_MOUNT}/${name}`;
    // Either the hierarchy or a link to it; systemd's own and a half version 2 have other names.
    if (!exists(`${root}/tasks`)) continue;
    for (const controller of name.split(",")) mounts.set(controller, root);
  }
  return mounts;
}

/** The directories of the group, one in each hierarchy that is there; none of them is made. */
export function hostCgroupDirectories(path: string): string[] {
  return hierarchies().map((root) => `${root}${path}`);
}

/**
 * Makes the group.
 *
 * @returns its directories; empty, with a warning, on a host whose cgroups cannot be changed: they limit and count, but are
 * no part of the isolation.
 */
export function createHostCgroup(directories: readonly string[], logger: Logger): readonly string[] {
  const made: string[] = [];
  try {
    for (const directory of directories) {
      makeGroup(directory);
      made.push(directory);
    }
    return made;
  } catch (error) {
    logger.warn("the virtual machine runs in the shim's own cgroup", { error: describeError(error) });
    for (const directory of made) {
      rmdirIfExists(directory);
      removeEmptyOverhead(directory);
    }
    return [];
  }
}

/** Another sandbox's end may remove the common parent between our making it and using it. */
const MAKE_TRIES = 5;

function makeGroup(directory: string): void {
  for (let tries = 1; ; tries++) {
    mkdirAll(directory.slice(0, directory.lastIndexOf("/")));
    try {
      mkdirIfMissing(directory);
      return;
    } catch (error) {
      if (!hasErrno(error, "ENOENT") || tries >= MAKE_TRIES) throw error;
    }
  }
}

/** The mount points that a group is made below. */
function hierarchies(): string[] {
  if (exists(`${CGROUP_MOUNT}/cgroup.controllers`)) return [CGROUP_MOUNT];
  if (!exists(CGROUP_MOUNT)) return [];
  const seen = new Set<string>();
  return readDirectory(CGROUP_MOUNT)
    .map(({ name }) => name)
    .filter((name) => name.split(",").some((part) => ACCOUNTING.includes(part)))
    .map((name) => `${CGROUP_MOUNT}/${name}`)
    .filter((root) => {
      // `cpu` is a link to `cpu,cpuacct`.
      const { onMajor, onMinor, inode } = stat(root);
      const key = `${onMajor}:${onMinor}:${inode}`;
      return exists(`${root}/cgroup.procs`) && !seen.has(key) && seen.add(key);
    });
}

/**
 * Removes the group's directories, whose processes have ended.
 *
 * @throws KataError `system-call`, EBUSY if there are processes left after 2 s; the other directories are removed then.
 */
export async function removeHostCgroup(directories: readonly string[], clock: Clock): Promise<void> {
  let failure: unknown;
  let triesLeft = REMOVE_TRIES;
  for (const directory of directories) {
    try {
      triesLeft = await removeGroup(directory, triesLeft, clock);
      removeEmptyOverhead(directory);
    } catch (error) {
      failure ??= error;
      triesLeft = 1;
    }
  }
  if (failure !== undefined) throw failure;
}

/** @returns how many of `tries` are left: what one directory waited for, the next need not. */
async function removeGroup(directory: string, tries: number, clock: Clock): Promise<number> {
  let pause = FIRST_INTERVAL_MS;
  for (let left = tries; ; left--) {
    try {
      rmdirIfExists(directory);
      return left;
    } catch (error) {
      if (!hasErrno(error, "EBUSY") || left <= 1) throw error;
      await sleep(clock, pause);
      pause = Math.min(2 * pause, LAST_INTERVAL_MS);
    }
  }
}

/** The common parent goes with its last member. */
function removeEmptyOverhead(directory: string): void {
  const parent = directory.slice(0, directory.lastIndexOf("/"));
  if (!parent.endsWith(OVERHEAD)) return;
  try {
    rmdirIfExists(parent);
  } catch (error) {
    if (!hasErrno(error, "EBUSY", "ENOTEMPTY")) throw error;
  }
}
