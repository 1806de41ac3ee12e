/** What the host tells the guest of storage and devices: messages of the agent's protocol, in the parts that are used here. */
import type { AttachedDevice } from "../hypervisor/types.ts";
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
  /** Whether it is the pod's, until that ends. */
  readonly shared?: boolean;
}

/** Message `Device`: a device that has been plugged in for one container, at a path of its specification's devices. */
export interface GuestDevice {
  /** PCI path or SCSI address; empty for a device that is known by its node. Of cards, the name of their node on the host. */
  readonly id: string;
  /** Cards are `vfio-pci` for programs that drive them by VFIO themselves, `vfio-pci-gk` for drivers of the guest's kernel. */
  readonly type: "blk" | "mmioblk" | "scsi" | "vfio-pci" | "vfio-pci-gk";
  /** Node in the guest, if the host knows it. */
  readonly vmPath: string;
  readonly containerPath: string;
  readonly options: readonly string[];
}

/** Where the guest mounts disks; upstream's place, which policies name. */
export const GUEST_DISKS = `${GUEST_SANDBOX}/storage`;

/** Option of a disk whose node was there before: the bytes that it has once the guest has noticed what is behind it now. */
const CAPACITY = "capacity=";

/** How a storage names a disk. */
export function diskOfStorage(
  address: AttachedDevice,
): Pick<GuestStorage, "driver" | "source"> & { readonly driverOptions: readonly string[] } {
  if ("pciPath" in address) return { driver: "blk", source: address.pciPath, driverOptions: [] };
  if ("scsi" in address) return { driver: "scsi", source: address.scsi, driverOptions: [] };
  return { driver: "mmioblk", source: address.node, driverOptions: [`${CAPACITY}${address.bytes}`] };
}

/** How a container's device names a disk. */
export function diskOfDevice(
  address: AttachedDevice,
): Pick<GuestDevice, "id" | "vmPath" | "options"> & { readonly type: "blk" | "mmioblk" | "scsi" } {
  if ("pciPath" in address) return { id: address.pciPath, type: "blk", vmPath: "", options: [] };
  if ("scsi" in address) return { id: address.scsi, type: "scsi", vmPath: "", options: [] };
  return { id: "", type: "mmioblk", vmPath: address.node, options: [`${CAPACITY}${address.bytes}`] };
}

/** For names and messages. */
export function addressText(address: AttachedDevice): string {
  if ("pciPath" in address) return address.pciPath;
  return "scsi" in address ? address.scsi : address.node;
}

/** Option of a disk: permissions for the root of a new file system, which mkfs does not set. */
export function rootModeOption(mode: number): string {
  return `root-mode=${mode.toString(8)}`;
}

/**
 * Options of a disk that is made for the pod and empty at first. The guest encrypts it, or mounts the file system that the host has made.
 * Source: upstream's agent, and the policies that are made for it.
 */
export function podDiskOptions(isEncrypted: boolean): readonly string[] {
  return isEncrypted ? ["encryption_key=ephemeral", "create_filesystem"] : ["create_filesystem"];
}
