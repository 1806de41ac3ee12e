/**
 * The two halves of a disk: the block node that reads and writes the host's file or block device, and the guest's device over it.
 * Sources: QEMU QMP reference, blockdev-add (BlockdevOptionsFile); virtio-blk properties.
 */
import { S_IFBLK, S_IFMT, stat } from "../../../sys/files.ts";
import type { DiskDevice, DiskTuning } from "../types.ts";
import type { BlockNode } from "./qmp-messages.ts";

export const DEFAULT_TUNING: DiskTuning = {
  io: "threads",
  direct: false,
  noFlush: false,
  logicalSectorBytes: 0,
  physicalSectorBytes: 0,
  queues: 1,
  queueSize: 128,
  threads: 1,
};

/** The name of the block node of disk `id`. */
export function diskNode(id: string): string {
  return `${id}-node`;
}

/** Arguments of `blockdev-add`. @param io may differ from what the device wishes for. */
export function blockNode(device: DiskDevice, io: DiskTuning["io"]): BlockNode {
  const tuning = device.tuning ?? DEFAULT_TUNING;
  const isBlockDevice = (stat(device.path).mode & S_IFMT) === S_IFBLK;
  // The kernel's own asynchronous reads and writes are only asynchronous past the page cache; QEMU refuses anything else.
  const cache = { direct: tuning.direct || io === "native", "no-flush": tuning.noFlush };
  return {
    driver: "raw",
    "node-name": diskNode(device.id),
    "read-only": device.readOnly,
    cache,
    discard: "unmap",
    file: {
      driver: isBlockDevice ? "host_device" : "file",
      filename: device.path,
      aio: io,
      cache,
      discard: "unmap",
    },
  };
}

/** Properties of `device_add` for a virtio-blk device. */
export function blockDeviceProperties(
  device: DiskDevice,
): Readonly<Record<string, string | number | boolean>> {
  const tuning = device.tuning ?? DEFAULT_TUNING;
  return {
    drive: diskNode(device.id),
    "num-queues": tuning.queues,
    "queue-size": tuning.queueSize,
    ...(tuning.logicalSectorBytes === 0 ? {} : { logical_block_size: tuning.logicalSectorBytes }),
    ...(tuning.physicalSectorBytes === 0 ? {} : { physical_block_size: tuning.physicalSectorBytes }),
    // The older way of virtio needs ports of a bridge's few.
    "disable-legacy": "on",
  };
}
