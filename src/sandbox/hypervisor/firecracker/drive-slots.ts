/**
 * The drives of a machine whose backing comes later.
 *
 * Firecracker plugs nothing into a running machine. So every machine boots with drives that have an empty sector behind them; a disk
 * that a container needs becomes the backing of one that is free, and the sector comes back when it is taken out. Whether a drive can
 * be written to is fixed at boot, thus there are slots of both kinds: what is read-only for a container cannot be written to by the
 * guest's kernel either.
 *
 * Source: Firecracker documentation, docs/api_requests/patch-block.md.
 */
import { KataError } from "../../../kata-error.ts";

/** Upstream's number of them. */
const MAX_WRITABLE = 8;
/** Image layers, volumes that are read-only. */
const MAX_READ_ONLY = 4;
/** Of the devices of a machine: interrupts 5 to 23, one of which tells a clone that it is one. Source: Firecracker, x86_64 layout.rs. */
const MAX_DEVICES = 18;
/** An empty drive has a sector: the kernel says nothing of a disk that grows from nothing. */
export const EMPTY_DRIVE_BYTES = 512;

export interface DriveSlot {
  /** `slot0` */
  readonly id: string;
  /** Where the guest has it: `/dev/vda`. */
  readonly node: string;
  readonly readOnly: boolean;
}

/**
 * The slots of a machine, in the order in which they are made.
 *
 * @param others devices that the machine has besides.
 * @param drivesBefore drives among them, which come first and take the first names.
 * @throws KataError `unsupported` if there is no room for one.
 */
export function driveSlots(others: number, drivesBefore: number): DriveSlot[] {
  const free = MAX_DEVICES - others;
  if (free < 2) {
    throw new KataError("unsupported", {
      operation: "configure Firecracker",
      object: `${others} devices and drives for containers`,
      hint: `a machine has at most ${MAX_DEVICES} devices: give the pod fewer network links`,
    });
  }
  const readOnly = Math.min(MAX_READ_ONLY, Math.floor(free / 3));
  const writable = Math.min(MAX_WRITABLE, free - readOnly);
  return Array.from({ length: writable + readOnly }, (_, index) => ({
    id: `slot${index}`,
    node: `/dev/${diskName(drivesBefore + index)}`,
    readOnly: index >= writable,
  }));
}

/** How Linux names the virtio disk of this number: `vda`. There are fewer than letters. */
export function diskName(index: number): string {
  return `vd${String.fromCharCode("a".charCodeAt(0) + index)}`;
}

/** Which disk is behind which slot. */
export class SlotUse {
  readonly #slots: readonly DriveSlot[];
  readonly #used = new Map<string, DriveSlot>();

  constructor(slots: readonly DriveSlot[]) {
    this.#slots = slots;
  }

  /**
   * Takes a slot for disk `id`.
   *
   * @throws KataError `already-exists` if it has one; `resource-exhausted` if none is free.
   */
  take(id: string, readOnly: boolean): DriveSlot {
    if (this.#used.has(id))
      throw new KataError("already-exists", { operation: "plug in device", object: id });
    const taken = new Set([...this.#used.values()].map((slot) => slot.id));
    const alike = this.#slots.filter((slot) => slot.readOnly === readOnly);
    const slot = alike.find((each) => !taken.has(each.id));
    if (slot === undefined) {
      throw new KataError("resource-exhausted", {
        operation: "plug in device",
        object: `${id}: all ${alike.length} ${readOnly ? "read-only " : "writable "}drives of the machine are in use`,
        hint: "Firecracker's machines have no more; spread the containers over more pods",
      });
    }
    this.#used.set(id, slot);
    return slot;
  }

  /** @throws KataError `not-found`. */
  of(id: string, operation: string): DriveSlot {
    const slot = this.#used.get(id);
    if (slot !== undefined) return slot;
    throw new KataError("not-found", { operation, object: id });
  }

  free(id: string): void {
    this.#used.delete(id);
  }
}
