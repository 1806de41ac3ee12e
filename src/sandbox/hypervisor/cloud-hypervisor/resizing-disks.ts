/**
 * Which versions of Cloud Hypervisor tell a guest that a disk of its has grown.
 *
 * Up to version 51 it sets the size of what is behind the disk before, which a block device refuses; the guest's CPUs may stand still then.
 * Sources: Cloud Hypervisor, release notes of version 50 ("Live Disk Resizing Support for Raw Images"); its issue 7923.
 */
import { KataError } from "../../../kata-error.ts";

const WITH_FILES = 50;
const WITH_BLOCK_DEVICES = 52;

/**
 * @param version `v51.1`; one of another form is taken for new enough.
 * @throws KataError `unsupported` for a monitor that should not be asked.
 */
export function requireResizing(version: string, isBlockDevice: boolean): void {
  const [, major] = /^v?(\d+)\./.exec(version) ?? [];
  const needed = isBlockDevice ? WITH_BLOCK_DEVICES : WITH_FILES;
  if (major === undefined || Number(major) >= needed) return;
  throw new KataError("unsupported", {
    operation: "resize disk",
    object: `${isBlockDevice ? "a block device" : "a file"}, with Cloud Hypervisor ${version.slice(0, 40)}`,
    hint: `the guest hears of it from version ${needed} on; it sees the new size after the volume was taken out and given again`,
  });
}
