/** The places of a machine that devices can be plugged into: the slots of its bridge, then its ports, then those of its switch. */
import { KataError } from "../../../kata-error.ts";
import type { CardPort } from "../host-card.ts";
import { FIRST_BRIDGE_SLOT, HOT_PLUG_BRIDGE, hotPlugPort } from "./command-line.ts";
import { switchPort } from "./machine-extras.ts";

export interface HotPlugSlot {
  /** The bus behind a bridge or port, by its name. */
  readonly bus: string;
  /** Number of the device on that bus. */
  readonly device: number;
  readonly port: CardPort;
}

/** A device's number on its bus has five bits. */
const LAST_BRIDGE_SLOT = 31;

/** How an operator gets more of them. */
const MORE: Readonly<Record<CardPort, string>> = {
  "root-port": "raise pcie_root_port in configuration.toml",
  "switch-port": "raise pcie_switch_port in configuration.toml",
  "bridge-port": 'set hot_plug_vfio to "root-port" in configuration.toml, and pcie_root_port',
};

export class HotPlugSlots {
  readonly #free: HotPlugSlot[];

  /** @param ports number of ports that the machine was started with. @param switchPorts of those behind its switch. */
  constructor(hasBridge: boolean, ports: number, switchPorts = 0) {
    const bridge = hasBridge ? LAST_BRIDGE_SLOT - FIRST_BRIDGE_SLOT : 0;
    this.#free = [
      ...Array.from({ length: bridge }, (_, index) => ({
        bus: HOT_PLUG_BRIDGE,
        device: FIRST_BRIDGE_SLOT + 1 + index,
        port: "bridge-port" as const,
      })),
      ...portsOf("root-port", ports, hotPlugPort),
      ...portsOf("switch-port", switchPorts, switchPort),
    ];
  }

  get isEmpty(): boolean {
    return this.#free.length === 0;
  }

  /** @param port the kind that it has to be; absent for any. @throws KataError `resource-exhausted` if all are taken. */
  take(id: string, port?: CardPort): HotPlugSlot {
    const index = this.#free.findIndex((slot) => port === undefined || slot.port === port);
    const [slot] = index < 0 ? [] : this.#free.splice(index, 1);
    if (slot !== undefined) return slot;
    throw new KataError("resource-exhausted", {
      operation: "plug in device",
      object: port === undefined ? id : `${id} into a ${port}`,
      hint: `all hot-plug slots of the machine are taken, ${MORE[port ?? "root-port"]}`,
    });
  }

  /** The slot is the next to be taken: a guest has been through its set-up already. */
  giveBack(slot: HotPlugSlot): void {
    this.#free.unshift(slot);
  }
}

function portsOf(port: CardPort, count: number, busOf: (index: number) => string): HotPlugSlot[] {
  return Array.from({ length: count }, (_, index) => ({ bus: busOf(index), device: 0, port }));
}
