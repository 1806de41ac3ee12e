/**
 * Disks behind a SCSI controller, which is there from the start: one slot of the machine for all of them.
 *
 * The guest is told of a disk by its address, and looks for it then.
 * Sources: QEMU, hw/scsi/virtio-scsi.c, hw/scsi/scsi-disk.c; upstream's runtime (addresses from a disk's number).
 */
import { KataError } from "../../../kata-error.ts";
import type { DiskDevice } from "../disk-device.ts";
import type { MachineOptions } from "../machine-options.ts";
import { DEFAULT_TUNING, diskNode } from "./disk-options.ts";

const CONTROLLER = "scsi0";
const THREAD = "scsi-io0";
/** Units of a target, and targets: a disk's number is both of them. */
const UNITS = 256;
const MAX_DISKS = UNITS * UNITS;

/** @param device QEMU's name of the controller on the machine's bus. */
export function scsiArguments(options: MachineOptions | undefined, device: string): string[] {
  if (options?.diskBus !== "virtio-scsi") return [];
  const thread = options.scsiThread ? `,iothread=${THREAD}` : "";
  return [
    ...(options.scsiThread ? ["-object", `iothread,id=${THREAD}`] : []),
    "-device",
    `${device},id=${CONTROLLER}${thread}`,
  ];
}

/** Numbers of the disks behind the controller. */
export class ScsiUnits {
  readonly #taken = new Set<number>();

  /** @throws KataError `resource-exhausted` if all are taken. */
  take(id: string): number {
    for (let number = 0; number < MAX_DISKS; number++) {
      if (this.#taken.has(number)) continue;
      this.#taken.add(number);
      return number;
    }
    throw new KataError("resource-exhausted", { operation: "plug in disk", object: id });
  }

  giveBack(number: number): void {
    this.#taken.delete(number);
  }
}

/** The guest's address `ID:LUN` of disk `number`. */
export function scsiAddress(number: number): string {
  return `${Math.floor(number / UNITS)}:${number % UNITS}`;
}

/** Arguments of `device_add`, without the id. */
export function scsiDiskProperties({ id, tuning = DEFAULT_TUNING }: DiskDevice, number: number) {
  const { logicalSectorBytes: logical, physicalSectorBytes: physical } = tuning;
  return {
    driver: "scsi-hd",
    bus: `${CONTROLLER}.0`,
    channel: 0,
    "scsi-id": Math.floor(number / UNITS),
    lun: number % UNITS,
    drive: diskNode(id),
    ...(logical === 0 ? {} : { logical_block_size: logical }),
    ...(physical === 0 ? {} : { physical_block_size: physical }),
  };
}
