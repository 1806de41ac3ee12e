/**
 * The host's cgroup of a machine's CPUs: of the threads that run the guest, and not of what the host does for it.
 *
 * | | the threads' group | everything else |
 * |---|---|---|
 * | version 1, overhead split | beside the pod's containers, in `cpu`, `cpuacct` and `cpuset` | `/kata_overhead/ID` |
 * | version 1, `sandbox_cgroup_only` | the same group in `cpuset` alone | beside the pod's containers |
 * | version 2, overhead split | `/kata_overhead/ID/vcpus`, threaded, with the pod's limit on CPU time | `/kata_overhead/ID` |
 * | version 2, `sandbox_cgroup_only` | none | beside the pod's containers |
 *
 * In version 2 the threads of one process stay below one group, so they cannot go to the pod's. Memory is the process's in either.
 * Sources: cgroups(7), "Thread mode"; Linux Documentation/admin-guide/cgroup-v1/cpusets.rst; upstream's host cgroup management.
 */
import { describeError, hasErrno } from "../../kata-error.ts";
import type { Clock } from "../../sys/clock.ts";
import { exists, mkdirIfMissing, readTextFile, rmdirIfExists, writeExisting } from "../../sys/files.ts";
import type { Logger } from "../types.ts";
import { removeHostCgroup } from "./host-cgroup.ts";
import type { Limits } from "./sizing.ts";

/** Where a thread's number is written to move it, and where CPUs are chosen. */
export interface VcpuGroupPlan {
  /** Directories with the mount point of each, the innermost last to be made. */
  readonly directories: readonly { readonly mount: string; readonly path: string }[];
  readonly threadFile: "tasks" | "cgroup.threads";
  /** Directory whose `cpuset.cpus` chooses CPUs; it may be one that is made by others. */
  readonly cpuset: string | undefined;
  /** `cpu.max`; version 2 only. */
  readonly cpuMax: string | undefined;
}

/** What the plan depends on. */
export interface VcpuGroupRequest {
  /** Mount points by controller; `unified` for version 2. */
  readonly mounts: ReadonlyMap<string, string>;
  readonly sandboxCgroupOnly: boolean;
  /** Path of the group beside the pod's containers. */
  readonly podPath: string;
  /** Path of the group of the helper programs. */
  readonly helperPath: string;
  readonly limits: Limits;
}

/** Period of a limit on CPU time, µs: the kernel's usual one. */
const PERIOD = 100_000;

export function planVcpuGroup(request: VcpuGroupRequest): VcpuGroupPlan {
  const { mounts, sandboxCgroupOnly, podPath, helperPath, limits } = request;
  const unified = mounts.get("unified");
  if (unified !== undefined) {
    if (sandboxCgroupOnly) {
      return {
        directories: [],
        threadFile: "cgroup.threads",
        cpuset: `${unified}${podPath}`,
        cpuMax: undefined,
      };
    }
    const path = `${helperPath}/vcpus`;
    return {
      directories: [{ mount: unified, path }],
      threadFile: "cgroup.threads",
      cpuset: `${unified}${path}`,
      cpuMax: limits.cpus > 0 ? `${Math.ceil(limits.cpus * PERIOD)} ${PERIOD}` : undefined,
    };
  }
  const controllers = sandboxCgroupOnly ? ["cpuset"] : ["cpu", "cpuacct", "cpuset"];
  const roots = new Set(controllers.map((name) => mounts.get(name)).filter((mount) => mount !== undefined));
  const cpusetMount = mounts.get("cpuset");
  return {
    directories: [...roots].map((mount) => ({ mount, path: podPath })),
    threadFile: "tasks",
    cpuset: cpusetMount === undefined ? undefined : `${cpusetMount}${podPath}`,
    cpuMax: undefined,
  };
}

export class VcpuGroup {
  readonly #plan: VcpuGroupPlan;
  readonly #logger: Logger;
  /** What this made, parents included, in the order of making. */
  readonly #made: string[] = [];
  readonly #members = new Set<number>();
  #works = true;

  constructor(plan: VcpuGroupPlan, logger: Logger) {
    this.#plan = plan;
    this.#logger = logger;
  }

  /** Directories that a clean-up after a crash has to remove. */
  get directories(): readonly string[] {
    return this.#plan.directories.map(({ mount, path }) => `${mount}${path}`);
  }

  /** Makes the group. A host that does not let it is warned of once: limits hold in the guest all the same. */
  create(): void {
    this.#try("make the group of the machine's CPUs", () => {
      for (const { mount, path } of this.#plan.directories) this.#makeBelow(mount, path);
      const [only] = this.directories;
      if (this.#plan.threadFile === "cgroup.threads" && only !== undefined) this.#makeThreaded(only);
    });
  }

  #makeBelow(mount: string, path: string): void {
    let directory = mount;
    for (const name of path.split("/").filter((part) => part !== "")) {
      const parent = directory;
      directory = `${parent}/${name}`;
      if (!exists(directory)) {
        mkdirIfMissing(directory);
        this.#made.push(directory);
      }
      // A new cpuset of version 1 has no CPU, and takes no thread.
      if (this.#plan.threadFile === "tasks") inheritCpuset(directory, parent);
    }
  }

  #makeThreaded(directory: string): void {
    const parent = directory.slice(0, directory.lastIndexOf("/"));
    writeExisting(`${directory}/cgroup.type`, "threaded");
    for (const controller of ["cpu", "cpuset"]) {
      try {
        writeExisting(`${parent}/cgroup.subtree_control`, `+${controller}`);
      } catch (error) {
        // The host has it in version 1, or has not handed it down.
        if (!hasErrno(error, "ENOENT", "EINVAL", "EBUSY", "EACCES", "EOPNOTSUPP")) throw error;
      }
    }
    if (this.#plan.cpuMax !== undefined && exists(`${directory}/cpu.max`)) {
      writeExisting(`${directory}/cpu.max`, this.#plan.cpuMax);
    }
  }

  /** Moves threads into it that are not there yet; forgets those that have ended. */
  add(threads: readonly number[]): void {
    for (const known of this.#members) if (!threads.includes(known)) this.#members.delete(known);
    for (const thread of threads) {
      if (this.#members.has(thread)) continue;
      this.#try("move a CPU of the machine", () => {
        for (const directory of this.directories) {
          writeExisting(`${directory}/${this.#plan.threadFile}`, String(thread));
        }
        this.#members.add(thread);
      });
    }
  }

  /** @param list as in cpuset(7); empty for all that the group above has. */
  setCpus(list: string): void {
    const { cpuset, threadFile } = this.#plan;
    if (cpuset === undefined || !exists(`${cpuset}/cpuset.cpus`)) return;
    this.#try("choose CPUs of the host", () => {
      const parent = cpuset.slice(0, cpuset.lastIndexOf("/"));
      const all = threadFile === "tasks" ? readTextFile(`${parent}/cpuset.cpus`).trim() : "";
      writeExisting(`${cpuset}/cpuset.cpus`, list === "" ? `${all}\n` : list);
    });
  }

  async remove(clock: Clock): Promise<void> {
    await removeHostCgroup(this.directories, clock);
    for (const directory of this.#made.reverse()) {
      try {
        rmdirIfExists(directory);
      } catch (error) {
        // Somebody else has come to use it.
        if (!hasErrno(error, "EBUSY", "ENOTEMPTY")) throw error;
      }
    }
  }

  /** The group is no part of the isolation: what does not work is told once. */
  #try(what: string, work: () => void): void {
    if (!this.#works) return;
    try {
      work();
    } catch (error) {
      this.#works = false;
      this.#logger.warn("the machine's CPUs are in no group of their own", {
        what,
        error: describeError(error),
      });
    }
  }
}

function inheritCpuset(directory: string, parent: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (!exists(`${directory}/${file}`)) continue;
    if (readTextFile(`${directory}/${file}`).trim() === "") {
      writeExisting(`${directory}/${file}`, readTextFile(`${parent}/${file}`).trim());
    }
  }
}
