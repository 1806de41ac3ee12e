/**
 * User namespaces as what an id-mapped mount needs: a pair of maps in the form of a descriptor.
 * Sources: mount_setattr(2), "ID-mapped mounts"; user_namespaces(7).
 */
import { KataError } from "../../kata-error.ts";
import type { LinuxIdMapping } from "../../oci/types.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { O_RDONLY, open, writeExisting } from "../../sys/files.ts";
import { CLONE_NEWUSER, clone, pidfdSendSignal, SIGKILL } from "../../sys/process.ts";
import type { ChildReaper } from "../child-reaper.ts";
import { standStill } from "../sandbox/pid-holder.ts";

/** Most lines of a map. Source: user_namespaces(7). */
const MAX_MAPPINGS = 340;

/** The maps of a user namespace as the kernel takes them: `inside outside count` lines. */
export interface IdMaps {
  readonly uid: string;
  readonly gid: string;
}

/** @throws KataError `invalid-argument` for a map that the kernel does not take. */
export function idMapText(what: string, mappings: readonly LinuxIdMapping[] | undefined): string {
  if ((mappings?.length ?? 0) > MAX_MAPPINGS) {
    throw new KataError("invalid-argument", {
      operation: "read id maps",
      object: `${mappings?.length} ${what}`,
      hint: `the kernel takes at most ${MAX_MAPPINGS}`,
    });
  }
  return (mappings ?? [])
    .map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`)
    .join("");
}

/** `id` of a container as the machine knows it; undefined if the maps do not have it. */
export function outerId(id: number, mappings: readonly LinuxIdMapping[] | undefined): number | undefined {
  const found = mappings?.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return found === undefined ? undefined : found.hostID + id - found.containerID;
}

/** Gives process `pid`, the first one of its user namespace, the namespace's maps. */
export function writeIdMaps(pid: number, maps: IdMaps): void {
  if (maps.uid === "" && maps.gid === "") return;
  writeExisting(`/proc/${pid}/uid_map`, maps.uid);
  writeExisting(`/proc/${pid}/gid_map`, maps.gid);
}

/** A user namespace with `maps` and without a process. The caller closes it. */
export async function newIdMapNamespace(maps: IdMaps, reaper: ChildReaper): Promise<FileDescriptor> {
  const cloned = clone({ flags: CLONE_NEWUSER });
  if (cloned.role === "child") standStill("idmap");
  const exited = reaper.exitOf(cloned.pid);
  try {
    writeIdMaps(cloned.pid, maps);
    return open(`/proc/${cloned.pid}/ns/user`, O_RDONLY);
  } finally {
    pidfdSendSignal(cloned.pidfd, SIGKILL);
    await exited;
    cloned.pidfd.close();
  }
}
