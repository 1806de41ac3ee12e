/**
 * The cgroup hierarchies of the machine: version 2 alone, or one of version 1 for each controller (also on a hybrid host,
 * where a hierarchy of version 2 without controllers lies beside them).
 * Source: cgroups(7).
 */
import { KataError } from "../../kata-error.ts";
import type { MountInfo } from "../../sys/mountinfo.ts";

export interface Hierarchy {
  /** Last part of its mount point: `cpu`, `cpu,cpuacct`. */
  readonly name: string;
  readonly mountPoint: string;
  readonly controllers: readonly string[];
}

export type CgroupSystem =
  | { readonly version: 1; readonly hierarchies: readonly Hierarchy[] }
  | { readonly version: 2; readonly mountPoint: string };

/** Controllers of version 1. */
const CONTROLLERS: ReadonlySet<string> = new Set(
  "cpuset cpu cpuacct blkio memory devices freezer net_cls perf_event net_prio hugetlb pids rdma misc".split(
    " ",
  ),
);

/** @throws KataError `unavailable` if no hierarchy is mounted. */
export function findCgroups(mounts: readonly MountInfo[]): CgroupSystem {
  const hierarchies: Hierarchy[] = [];
  const taken = new Set<string>();
  for (const { type, mountPoint, superOptions } of mounts) {
    if (type !== "cgroup") continue;
    const controllers = superOptions.filter((option) => CONTROLLERS.has(option));
    // Named hierarchies have no controller; a second mount of one is the same directory again.
    if (controllers.length === 0 || controllers.some((controller) => taken.has(controller))) continue;
    for (const controller of controllers) taken.add(controller);
    hierarchies.push({ name: mountPoint.slice(mountPoint.lastIndexOf("/") + 1), mountPoint, controllers });
  }
  if (hierarchies.length > 0) return { version: 1, hierarchies };
  const unified = mounts.find(({ type }) => type === "cgroup2");
  if (unified !== undefined) return { version: 2, mountPoint: unified.mountPoint };
  throw new KataError("unavailable", {
    operation: "find cgroups",
    object: "/proc/self/mountinfo",
    hint: "no cgroup hierarchy is mounted",
  });
}
