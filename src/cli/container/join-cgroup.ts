/**
 * Puts the process that stands for a container where its machine is counted, so that engines that look at the cgroup of a
 * container's process (`podman stats`, `docker stats`) see what the machine costs the host.
 * Source: cgroups(7), /proc/PID/cgroup.
 */
import { hasErrno } from "../../kata-error.ts";
import { exists, readTextFileIfExists, writeExisting } from "../../sys/files.ts";

const CGROUP_MOUNT = "/sys/fs/cgroup";

/** The cgroups of a process by their directories. @param text of /proc/PID/cgroup. @param isUnified whether version 2 is all there is. */
export function cgroupDirectories(text: string, isUnified: boolean): string[] {
  return text.split("\n").flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) return [];
    if (controllers !== "") return [`${CGROUP_MOUNT}/${controllers.replace(/^name=/, "")}${path}`];
    return [isUnified ? `${CGROUP_MOUNT}${path}` : `${CGROUP_MOUNT}/unified${path}`];
  });
}

/** Moves process `pid` to the cgroups of process `other`. They count, and isolate nothing: what cannot be joined is passed over. */
export function joinCgroups(pid: number, other: number): void {
  const text = readTextFileIfExists(`/proc/${other}/cgroup`) ?? "";
  for (const directory of cgroupDirectories(text, exists(`${CGROUP_MOUNT}/cgroup.controllers`))) {
    try {
      writeExisting(`${directory}/cgroup.procs`, String(pid));
    } catch (error) {
      if (!hasErrno(error, "ENOENT", "EACCES", "EPERM", "EROFS", "EBUSY", "EOPNOTSUPP", "EINVAL"))
        throw error;
    }
  }
}
