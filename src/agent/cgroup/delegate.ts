/**
 * Giving a container's cgroup to the root of its user namespace, so that an init system in it can divide the cgroup.
 * Source: runtime-spec, "Cgroup ownership"; Linux Documentation/admin-guide/cgroup-v2.rst, "Delegation".
 */
import { chown, exists, readTextFileIfExists } from "../../sys/files.ts";
import type { VisibleCgroup } from "../container/cgroup-mount.ts";

/** Without the kernel's own list (before Linux 4.15). */
const DEFAULT_FILES = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads";

/** Version 1 has nothing that could be given away: its controllers do not hold below another owner's limits. */
export function delegateCgroup(
  cgroup: VisibleCgroup,
  { uid, gid }: { readonly uid: number; readonly gid: number },
): void {
  if (cgroup.version === 1) return;
  chown(cgroup.directory, uid, gid);
  const list = readTextFileIfExists("/sys/kernel/cgroup/delegate") ?? DEFAULT_FILES;
  for (const file of list.split("\n").map((line) => line.trim())) {
    const path = `${cgroup.directory}/${file}`;
    // The list holds files of controllers, too, which this cgroup may not have.
    if (/^[\w.]+$/.test(file) && exists(path)) chown(path, uid, gid);
  }
}
