/**
 * Which mounts of a specification the guest makes by itself, and which the host has to show it.
 *
 * File systems of the kernel (proc, sysfs, tmpfs, cgroup, …) are the guest's own. A bind mount brings a file or directory of
 * the host in, except for those that mean the kernel's side of things, which the guest has its own of.
 * Source: OCI runtime specification, "Mounts"; upstream Kata Containers, container mounts.
 */
import { KataError } from "../../kata-error.ts";
import { MS_SHARED, MS_SLAVE, parseMountOptions } from "../../oci/mount-options.ts";
import type { Mount } from "../../oci/types.ts";
import { GUEST_SANDBOX } from "../sandbox-paths.ts";

export type SourceType = "file" | "directory" | "socket" | "fifo" | "character-device" | "block-device";

export type PlannedMount =
  /** As it is, in the guest. */
  | { readonly kind: "guest"; readonly mount: Mount }
  /** `source` of the host, shown to the guest; the mount's own source is not known before. */
  | {
      readonly kind: "shared";
      readonly mount: Mount;
      readonly source: string;
      readonly recursive: boolean;
      readonly readOnly: "no" | "mount" | "recursive";
      /** Whether what is mounted below the source later, or unmounted, is so for the guest too. */
      readonly follows: boolean;
      /** A sentence for the log, if the guest can make only little of it. */
      readonly warning: string | undefined;
    }
  /** The node of a disk, `source` of the host, which the container is to have as a device. */
  | {
      readonly kind: "block-device";
      readonly mount: Mount;
      readonly source: string;
      readonly readOnly: boolean;
    };

/** What has to be known of the host. */
export interface HostView {
  /** What a path is, after links; undefined if nothing is there. */
  typeOf(path: string): SourceType | undefined;
  /** Whether a directory below /dev shows devices, which the guest has its own of, and not files that somebody keeps there. */
  isDeviceTree(path: string): boolean;
  /** Whether other mounts lie below a path. */
  hasMountsBelow(path: string): boolean;
}

/** Memory that the containers of a pod share inside the guest. */
export const GUEST_SHM = `${GUEST_SANDBOX}/shm`;

/** Parts of the host's tree that are the kernel's: the guest means its own. */
const KERNEL_TREES = ["/proc", "/sys"];

/**
 * Plans one mount.
 *
 * @throws KataError `not-found` that names a missing source; `invalid-argument` for one that cannot be shared.
 */
export function planMount(mount: Mount, host: HostView): PlannedMount {
  const options = parseMountOptions(mount.options ?? []);
  if (!options.bind && mount.type !== "bind") return { kind: "guest", mount };
  const source = mount.source ?? "";
  if (mount.destination === "/dev/shm") {
    // As upstream's runtime has it, which policies are made for.
    return { kind: "guest", mount: { ...mount, type: "bind", source: GUEST_SHM, options: ["rbind"] } };
  }
  if (KERNEL_TREES.some((tree) => isBelow(source, tree))) return { kind: "guest", mount };
  const type = host.typeOf(source);
  if (type === undefined) {
    throw new KataError("not-found", {
      operation: `mount at ${mount.destination}`,
      object: source,
      errno: "ENOENT",
      hint: "a bind mount needs a file or directory that exists on the host",
    });
  }
  const readOnlyMount = (options.attributes.set & 1) !== 0;
  if (type === "block-device") return { kind: "block-device", mount, source, readOnly: readOnlyMount };
  // A node means the device of that name, which the guest has or has not.
  const isInDev = isBelow(source, "/dev");
  if (isInDev && type === "character-device") return { kind: "guest", mount };
  if (isInDev && type === "directory" && host.isDeviceTree(source)) return { kind: "guest", mount };
  if (type === "character-device") {
    throw new KataError("invalid-argument", {
      operation: `mount at ${mount.destination}`,
      object: `${source} is a character device`,
      hint: "a device is given to a container by linux.devices, not by a bind mount",
    });
  }
  const recursiveReadOnly = ((options.recursiveAttributes?.set ?? 0) & 1) !== 0;
  const readOnly = recursiveReadOnly ? "recursive" : readOnlyMount ? "mount" : "no";
  const recursive = options.recursiveBind;
  // What the guest mounts goes nowhere, so that of "shared" half can be kept.
  const follows = options.propagation.some(({ type }) => type === MS_SLAVE || type === MS_SHARED);
  // For the guest it is one mount, and read-only as a whole; the host refuses writes where they are to be refused.
  const isMixed = readOnly === "mount" && recursive && (follows || host.hasMountsBelow(source));
  return {
    kind: "shared",
    mount: isMixed ? { ...mount, options: [...(mount.options ?? []), "rw"] } : mount,
    source,
    recursive,
    readOnly,
    follows,
    warning:
      type === "socket" || type === "fifo"
        ? `${source} is a ${type}: the guest sees the file, but cannot reach who has it open on the host`
        : undefined,
  };
}

function isBelow(path: string, tree: string): boolean {
  return path === tree || path.startsWith(`${tree}/`);
}
