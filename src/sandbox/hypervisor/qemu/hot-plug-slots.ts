/** The places of a machine that devices can be plugged into: the slots of its bridge, then its ports, then those of its switch. */
import { KataError } from "../../../kata-error.ts";
import { FIRST_BRIDGE_SLOT, HOT_PLUG_BRIDGE, hotPlugPort } from "./command-line.ts";
import { switchPort } from "./machine-extras.ts";

export interface HotPlugSlot {
  /** The bus behind a bridge or port, by its name. */
  readonly bus: string;
  /** Number of the device on that bus. */
  readonly device: number;
}

/** A device's number on its bus has five bits. */
const LAST_BRIDGE_SLOT = 31;

export class HotPlugSlots {
  readonly #free: HotPlugSlot[];

  /** @param ports number of ports that the machine was started with. @param switchPorts of those behind its switch. */
  constructor(hasBridge: boolean, ports: number, switchPorts = 0) {
    const bridge = hasBridge ? LAST_BRIDGE_SLOT - FIRST_BRIDGE_SLOT : 0;
    this.#free = [
      ...Array.from({ length: bridge }, (_, index) => ({
        bus: HOT_PLUG_BRIDGE,
        device: FIRST_BRIDGE_SLOT + 1 + index,
      })),
      ...Array.from({ length: ports }, (_, index) => ({ bus: hotPlugPort(index), device: 0 })),
      ...Array.from({ length: switchPorts }, (_, index) => ({ bus: switchPort(index), device: 0 })),
    ];
  }

  get isEmpty(): boolean {
    return this.#free.length === 0;
  }

  /** @throws KataError `resource-exhausted` if all are taken. */
  take(id: string): HotPlugSlot {
    const slot = this.#free.shift();
    if (slot !== undefined) return slot;
    throw new KataError("resource-exhausted", {
      operation: "plug in device",
      object: id,
      hint: "all hot-plug slots of the machine are taken, raise pcie_root_port in configuration.toml",
    });
  }

  /** The slot is the next to be taken: a guest has been through its set-up already. */
  giveBack(slot: HotPlugSlot): void {
    this.#free.unshift(slot);
  }
}
