/**
 * Which virtio devices the machine has, by their numbers.
 * Source: virtio specification 1.2, section 5, "Device Types".
 */
import { hasErrno } from "../kata-error.ts";
import { readDirectory, readTextFileIfExists } from "../sys/files.ts";

/** Where sysfs lists the devices; tests put a directory of their own there. */
const DEVICES = "/sys/bus/virtio/devices";

export const VIRTIO_BLOCK = 2;
export const VIRTIO_CONSOLE = 3;
export const VIRTIO_BALLOON = 5;
export const VIRTIO_VSOCK = 19;
export const VIRTIO_MEM = 24;

/** Whether the machine has a device of this type, with or without a driver. */
export function hasVirtioDevice(type: number, devices = DEVICES): boolean {
  try {
    return readDirectory(devices).some(
      ({ name }) => Number(readTextFileIfExists(`${devices}/${name}/device`)?.trim()) === type,
    );
  } catch (error) {
    // A machine without virtio.
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
}
