/**
 * The cgroups of containers: where they are made, and what a container does with its own.
 *
 * A room is the directory below which all containers of an agent are: in a guest the hierarchies' roots, natively a
 * directory of its own in each hierarchy, from which the spec's `cgroupsPath` counts. In a guest each container has one directory of
 * its own: the directories of a host's path have no limits there, and an emulated guest needs milliseconds to make each.
 */
import { cgroupDirectory, parseCgroupsPath } from "../../oci/cgroups-path.ts";
import type { LinuxResources, Spec } from "../../oci/types.ts";
import { readMountInfo } from "../../sys/mountinfo.ts";
import { Rollback } from "../../sys/rollback.ts";
import { directoriesOf, removeIfUnused, removeTree } from "../cgroup/cgroup-directory.ts";
import { CgroupV1 } from "../cgroup/cgroup-v1.ts";
import { CgroupV2 } from "../cgroup/cgroup-v2.ts";
import { type CgroupSystem, findCgroups } from "../cgroup/hierarchies.ts";
import type { CgroupStatistics } from "../cgroup/statistics.ts";
import type { VisibleCgroup } from "./cgroup-mount.ts";

export interface ContainerCgroup {
  /** What of it the container may see. */
  readonly visible: VisibleCgroup;
  /** Moves a process into it. */
  add(pid: number): void;
  /**
   * Sets limits; what `resources` does not name stays.
   *
   * @throws KataError `invalid-argument` for limits that contradict each other, `unsupported` for one that the kernel has
   * not, `system-call` for a value that it refuses. Limits before the refused one are set.
   */
  apply(resources: LinuxResources): void;
  /** Lets it use CPUs that have come to the machine, unless the spec has chosen some. */
  followCpus(): void;
  /** Sets what devices may be used: the container's own, those that every container has, and those of `resources`. */
  restrictDevices(resources: LinuxResources): void;
  statistics(): CgroupStatistics;
  /** The processes in it and below, by their numbers for the agent. */
  pids(): number[];
  /** Stops all processes. @throws KataError `deadline-exceeded` if one does not stop; all run on then. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** Sends SIGKILL to all processes; those that are frozen come to life for it. It does not wait for their end. */
  killAll(): Promise<void>;
  /**
   * Calls `onKill` each time that a process has to die for want of memory, until the cgroup is removed.
   *
   * @param onFailure told if the kernel ends the watch before that.
   */
  watchOom(onKill: () => void, onFailure: (error: unknown) => void): void;
  /** Removes it with what the container has made in it. @throws KataError `system-call` with EBUSY if a process lives. */
  remove(): Promise<void>;
}

export interface CgroupRoom {
  /** Makes ahead of the first container what all of them need; without it the first one does. */
  prepare(): void;
  /** Makes a container's cgroup with its limits. @throws KataError; nothing is left then. */
  create(id: string, spec: Spec): Promise<ContainerCgroup>;
  /** Removes the room's own directories. */
  close(): Promise<void>;
}

/**
 * @param name directory of the room; empty for the hierarchies' roots.
 * @param system the machine's hierarchies, looked up at the first container if it is not given.
 */
export function makeCgroupRoom(name: string, system?: CgroupSystem): CgroupRoom {
  let found = system;
  const machine = (): CgroupSystem => {
    found ??= findCgroups(readMountInfo());
    return found;
  };
  let kept: CgroupV2 | undefined;
  const prepare = (): void => {
    if (kept !== undefined || name !== "") return;
    const kind = machine();
    if (kind.version === 1) return;
    const made = new CgroupV2(kind.mountPoint, KEPT, []);
    try {
      made.restrictDevices({});
    } catch (error) {
      removeIfUnused([`${kind.mountPoint}${KEPT}`]);
      throw error;
    }
    kept = made;
  };
  return {
    prepare,
    async create(id, spec) {
      prepare();
      const path = containerDirectory(id, spec);
      const relative = name === "" ? `/${GUEST_PREFIX}${id}` : `/${name}${path}`;
      const devices = spec.linux?.devices ?? [];
      const resources = spec.linux?.resources ?? {};
      const kind = machine();
      const cgroup =
        kind.version === 1
          ? new CgroupV1(kind.hierarchies, relative, devices)
          : new CgroupV2(kind.mountPoint, relative, devices, kept !== undefined);
      const undo = new Rollback();
      undo.add(`cgroup of ${id}`, () => cgroup.remove());
      try {
        cgroup.apply(resources);
        cgroup.restrictDevices(resources);
      } catch (error) {
        await undo.run();
        throw error;
      }
      return cgroup;
    },
    async close() {
      await kept?.remove();
      kept = undefined;
      if (name === "" || found === undefined) return;
      const mountPoints =
        found.version === 1 ? found.hierarchies.map(({ mountPoint }) => mountPoint) : [found.mountPoint];
      for (const mountPoint of mountPoints) {
        for (const directory of directoriesOf(mountPoint, name)) await removeTree(directory);
      }
    },
  };
}

/** The kernel has files of its own in a hierarchy's root, and an id may be any name. */
const GUEST_PREFIX = "container-";

/**
 * A guest's cgroup without processes, with a device program and all controllers. The kernel changes its own code with the first cgroup
 * that has a cpuset or a program, and back with the last one; an emulator then forgets what it knows of memory, 140 times for a
 * container. While this one is there, no container is the first or the last.
 */
const KEPT = "/kept";

/** Starts with a slash. A spec that names the root, where the agent is, gets a directory all the same. */
function containerDirectory(id: string, spec: Spec): string {
  const directory = cgroupDirectory(parseCgroupsPath(spec.linux?.cgroupsPath), `/${id}`);
  return directory === "" || directory === "/" ? `/${id}` : directory;
}
