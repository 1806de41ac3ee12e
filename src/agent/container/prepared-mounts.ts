/**
 * Mounts that only the agent can make: a container in a user namespace may neither map ids of a file system that is not its
 * own nor mount what belongs to a namespace that it shares with the pod. They are made aside, and the child gets their
 * descriptors.
 * Sources: mount_setattr(2), "ID-mapped mounts"; user_namespaces(7), "Effect of capabilities within a user namespace".
 */
import { KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { AT_EMPTY_PATH } from "../../sys/files.ts";
import { AT_RECURSIVE, MOUNT_ATTR_IDMAP, mountSetattr } from "../../sys/new-mount-api.ts";
import type { ChildReaper } from "../child-reaper.ts";
import { insideNamespaces, type JoinedNamespace } from "../sandbox/shared-namespaces.ts";
import { type IdMaps, newIdMapNamespace } from "./id-map-namespace.ts";
import type { MadeSource, MountPlan } from "./mount-plan.ts";
import { newMount } from "./mounts.ts";

export interface MountPreparation {
  readonly mounts: readonly MountPlan[];
  /** Maps of the container's user namespace; undefined if it has none. */
  readonly maps: IdMaps | undefined;
  /** Namespaces of the pod that the container is in. */
  readonly joined: readonly JoinedNamespace[];
  /** The number that the first descriptor has in the child. */
  readonly firstFd: number;
}

export interface PreparedMounts extends Disposable {
  /** The plan with the prepared mounts in it. */
  readonly mounts: readonly MountPlan[];
  /** To be given to the child, in this order. */
  readonly descriptors: readonly number[];
}

/** @throws KataError `invalid-argument` for an id-mapped mount without maps. */
export async function prepareMounts(
  { mounts, maps, joined, firstFd }: MountPreparation,
  reaper: ChildReaper,
): Promise<PreparedMounts> {
  const made: FileDescriptor[] = [];
  const close = () => {
    for (const mount of made) mount.close();
  };
  try {
    const planned: MountPlan[] = [];
    for (const plan of mounts) {
      const { source } = plan;
      if (source.kind === "cgroup" || source.kind === "prepared") {
        planned.push(plan);
        continue;
      }
      const needsIds = plan.idMap !== undefined;
      if (!needsIds && !(maps !== undefined && belongsToPod(source, joined))) {
        planned.push(plan);
        continue;
      }
      const inside = joined.filter(({ name }) => name === "ipc");
      const mount = insideNamespaces(inside, () => newMount(source, fileSystemAttributes(plan)));
      made.push(mount);
      if (plan.idMap !== undefined) await mapIds(mount, plan, maps, reaper);
      planned.push({ ...plan, source: { kind: "prepared", fd: firstFd + made.length - 1, of: source } });
    }
    return { mounts: planned, descriptors: made.map(({ fd }) => fd), [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Whether a file system shows a namespace that is not the container's own: the network's, and IPC if it is shared. */
function belongsToPod(source: MadeSource, joined: readonly JoinedNamespace[]): boolean {
  if (source.kind === "bind") return false;
  return source.type === "sysfs" || (source.type === "mqueue" && joined.some(({ name }) => name === "ipc"));
}

function fileSystemAttributes({ source, attributes }: MountPlan): number {
  return source.kind === "filesystem" ? attributes.set : 0;
}

async function mapIds(
  mount: FileDescriptor,
  { idMap, destination }: MountPlan,
  ofContainer: IdMaps | undefined,
  reaper: ChildReaper,
): Promise<void> {
  const maps = idMap?.maps ?? ofContainer;
  if (maps === undefined) {
    throw new KataError("invalid-argument", {
      operation: "map ids of mount at",
      object: destination,
      hint: "neither the mount nor the container has id maps",
    });
  }
  using namespace = await newIdMapNamespace(maps, reaper);
  mountSetattr(mount.fd, "", AT_EMPTY_PATH | (idMap?.recursive ? AT_RECURSIVE : 0), {
    set: MOUNT_ATTR_IDMAP,
    userNamespace: namespace.fd,
  });
}
