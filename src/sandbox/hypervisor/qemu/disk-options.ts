/**
 * The two halves of a disk: the block node that reads and writes the host's file or block device, and the guest's device over it.
 * Sources: QEMU QMP reference, blockdev-add (BlockdevOptionsFile); virtio-blk properties.
 */
import { S_IFBLK, S_IFMT, stat } from "../../../sys/files.ts";
import type { DiskDevice, DiskTuning } from "../disk-device.ts";
import type { DiskRates } from "../types.ts";
import type { BlockNode, ThrottleLimits, ThrottleNode } from "./qmp-messages.ts";

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

/**
 * Arguments of `blockdev-add`.
 *
 * @param io may differ from what the device wishes for.
 * @param filename by which QEMU opens it.
 */
export function blockNode(device: DiskDevice, io: DiskTuning["io"], filename = device.path): BlockNode {
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
      filename,
      aio: io,
      cache,
      discard: "unmap",
    },
  };
}

const BITS = 8;

/**
 * The limits of a disk's throttle group; undefined without any.
 *
 * QEMU fills a bucket at the lower rate and empties it at the higher one for a second; so what may go beyond a limit once, comes on top.
 * Source: QEMU documentation, docs/throttle.txt.
 */
export function throttleLimits(rates: DiskRates | undefined): ThrottleLimits | undefined {
  if (rates === undefined) return undefined;
  const bytes = Math.floor(rates.bandwidth / BITS);
  const burstBytes = Math.floor(rates.bandwidthBurst / BITS);
  const { operations, operationsBurst } = rates;
  if (bytes === 0 && operations === 0) return undefined;
  return {
    ...(bytes === 0 ? {} : { "bps-total": bytes }),
    ...(bytes === 0 || burstBytes === 0 ? {} : { "bps-total-max": bytes + burstBytes }),
    ...(operations === 0 ? {} : { "iops-total": operations }),
    ...(operations === 0 || operationsBurst === 0 ? {} : { "iops-total-max": operations + operationsBurst }),
  };
}

/** The node of a disk whose requests the throttle group `group` holds back. */
export function throttleNode({ "node-name": name, ...below }: BlockNode, group: string): ThrottleNode {
  return {
    driver: "throttle",
    "node-name": name,
    "read-only": below["read-only"],
    cache: below.cache,
    discard: below.discard,
    "throttle-group": group,
    file: below,
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
