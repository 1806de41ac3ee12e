/** What the host tells the guest of storage and devices: messages of the agent's protocol, in the parts that are used here. */
import { GUEST_SANDBOX } from "../sandbox-paths.ts";

/** Message `Storage`: a file system that the agent mounts before the containers that use it. */
export interface GuestStorage {
  readonly driver: string;
  readonly driverOptions?: readonly string[];
  readonly source: string;
  readonly fstype: string;
  readonly options: readonly string[];
  readonly mountPoint: string;
  /** The group that everything in it is to belong to. Policy 0 is always, 1 only if its root does not. */
  readonly fsGroup?: { readonly groupId: number; readonly groupChangePolicy: 0 | 1 };
}

/** Message `Device`: a device that has been plugged in for one container, at a path of its specification's devices. */
export interface GuestDevice {
  /** PCI path. */
  readonly id: string;
  readonly type: "blk";
  readonly vmPath: string;
  readonly containerPath: string;
  readonly options: readonly string[];
}

/** Where the guest mounts disks; upstream's place, which policies name. */
export const GUEST_DISKS = `${GUEST_SANDBOX}/storage`;
