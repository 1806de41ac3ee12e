/** The mounts of a container, worked out from its spec before a process is cloned for it. */
import { KataError } from "../../kata-error.ts";
import type { IdMaps } from "./id-map-namespace.ts";
import { cleanPath } from "./mount-target.ts";

/** What is mounted. */
export type MountSource =
  | { readonly kind: "bind"; readonly path: string; readonly recursive: boolean }
  | {
      readonly kind: "filesystem";
      readonly type: string;
      /** `none`, a device, a tag. */
      readonly source: string;
      /** Parameters of the file system; one without a value is a flag. */
      readonly parameters: readonly (readonly [name: string, value?: string])[];
    }
  /** The container's own part of the cgroup hierarchies. */
  | { readonly kind: "cgroup" }
  /** Made by the agent: the child has it as descriptor `fd`. */
  | { readonly kind: "prepared"; readonly fd: number; readonly of: MadeSource };

/** What can be mounted aside. */
export type MadeSource = Extract<MountSource, { readonly kind: "bind" | "filesystem" }>;

/** Changes of a mount's attributes (`MOUNT_ATTR_*` bits). Source: mount_setattr(2). */
export interface AttributeChange {
  readonly set: number;
  readonly clear: number;
}

export interface IdMapPlan {
  /** For the mounts below it, too. */
  readonly recursive: boolean;
  /** The mount's own maps; those of the container if it has none. */
  readonly maps: IdMaps | undefined;
}

export interface MountPlan {
  /** Absolute, in the container, without `.` and `..`. */
  readonly destination: string;
  readonly source: MountSource;
  readonly attributes: AttributeChange;
  /** For the mount and all below it. */
  readonly recursiveAttributes: AttributeChange | undefined;
  /** `MS_PRIVATE` and the like; applied one after the other. */
  readonly propagation: readonly { readonly type: number; readonly recursive: boolean }[];
  /** Whether a tmpfs is filled with what it covers. */
  readonly copyUp: boolean;
  /** How ids are mapped, if they are. */
  readonly idMap: IdMapPlan | undefined;
}

/** What may be mounted over in /proc: files that lxcfs and the like replace. Source: runc, checkProcMount. */
const PROC_MOUNTPOINTS: ReadonlySet<string> = new Set(
  "cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo net/dev sys/kernel/ns_last_pid sys/crypto/fips_enabled"
    .split(" ")
    .map((path) => `/proc/${path}`),
);

/** @throws KataError `invalid-argument` if nothing may be mounted at `destination`, a place in procfs. */
export function checkProcMountpoint(destination: string): void {
  if (PROC_MOUNTPOINTS.has(cleanPath(destination))) return;
  throw new KataError("invalid-argument", {
    operation: "mount at",
    object: destination,
    hint: "of /proc only a few files, such as /proc/meminfo, may be mounted over",
  });
}
