/**
 * Plugging devices into a running QEMU: the host side's object first, then the device; the other way round when it goes.
 *
 * A device sits in a slot of the machine's bridge, or behind a PCI Express port of its own: what the guest expects devices to
 * appear at.
 * Source: QEMU documentation, docs/pcie.txt; QMP reference, device_add, blockdev-add, netdev_add.
 */
import { describeError, KataError } from "../../../kata-error.ts";
import type { NetworkDevice } from "../network-device.ts";
import type { AttachedDevice, Device, DiskDevice, SharedDirectoryDevice } from "../types.ts";
import { connectedSocket } from "./command-line.ts";
import { blockDeviceProperties, blockNode, DEFAULT_TUNING, diskNode } from "./disk-options.ts";
import type { HotPlugSlot, HotPlugSlots } from "./hot-plug-slots.ts";
import { type NetworkMonitor, plugNetworkCard, startedNetworkCard } from "./network-card.ts";
import type { QmpClient } from "./qmp-client.ts";
import { asRecords, type SocketBackend } from "./qmp-messages.ts";

/** The guest has to let go of the device; under emulation and load that takes seconds. */
const UNPLUG_DEADLINE_MS = 10_000;

/** What makes up a device's host side, and how it goes. */
interface Backend {
  /** Driver and properties of `device_add`. */
  readonly driver: string;
  readonly properties: Readonly<Record<string, string | number | boolean>>;
  remove(): Promise<void>;
}

interface Plugged {
  readonly slot: HotPlugSlot;
  readonly backend: Backend;
}

const OTHERS_BACKEND: Backend = { driver: "", properties: {}, remove: () => Promise.resolve() };

export class HotPlug {
  readonly #monitor: QmpClient;
  readonly #slots: HotPlugSlots;
  readonly #plugged = new Map<string, Plugged>();
  readonly #threads: Promise<string>[] = [];
  #disks = 0;
  /** Slots on the root bus of bridges and ports, by their names. */
  readonly #rootSlots = new Map<string, number>();

  /** What plugging a network card in needs of the monitor. */
  readonly #network: NetworkMonitor = {
    sendDescriptor: (name, descriptor) => this.#sendDescriptor(name, descriptor),
    orTakeBack: (names, use) => this.#orTakeBack(names, use),
    addNetdev: (netdev) => this.#monitor.execute("netdev_add", netdev),
    removeNetdev: (id) => this.#monitor.execute("netdev_del", { id }),
    addSocket: (id, str) => this.#monitor.execute("chardev-add", { id, backend: socketBackend(str) }),
    removeSocket: (id) => this.#monitor.execute("chardev-remove", { id }),
  };

  /** @param cards the network cards that the machine was started with, which are in its first slots. */
  constructor(monitor: QmpClient, slots: HotPlugSlots, cards: readonly NetworkDevice[] = []) {
    this.#monitor = monitor;
    this.#slots = slots;
    for (const card of cards) {
      // A card of the host is on the root bus, and stays.
      if (card.backend.kind === "vfio" || slots.isEmpty) continue;
      const backend = startedNetworkCard(card, this.#network);
      this.#plugged.set(card.id, { slot: slots.take(card.id), backend });
    }
  }

  /** @throws KataError `resource-exhausted` if all slots are taken; nothing is left if a step fails. */
  async attach(device: Device): Promise<AttachedDevice> {
    if (this.#plugged.has(device.id)) {
      throw new KataError("already-exists", { operation: "plug in device", object: device.id });
    }
    const slot = this.#slots.take(device.id);
    try {
      const pciPath = await this.#pathOf(slot);
      const backend = await this.#addBackend(device);
      try {
        await this.#monitor.execute("device_add", {
          ...backend.properties,
          driver: backend.driver,
          id: device.id,
          bus: slot.bus,
          addr: hexadecimal(slot.device),
        });
      } catch (error) {
        await backend.remove();
        throw error;
      }
      this.#plugged.set(device.id, { slot, backend });
      return { pciPath };
    } catch (error) {
      this.#slots.giveBack(slot);
      throw error;
    }
  }

  /** Ids of what is plugged in, in the order of plugging. */
  get plugged(): readonly string[] {
    return [...this.#plugged.keys()];
  }

  /** Counts a device that another process has plugged in. It goes with the machine: what is behind it is not known here. */
  adopt(id: string): void {
    this.#plugged.set(id, { slot: this.#slots.take(id), backend: OTHERS_BACKEND });
  }

  /** @throws KataError `not-found` for a device that was not plugged in; `deadline-exceeded` if the guest keeps it. */
  async detach(id: string): Promise<void> {
    const plugged = this.#plugged.get(id);
    if (plugged === undefined) {
      throw new KataError("not-found", { operation: "unplug device", object: id });
    }
    const gone = this.#monitor.nextEvent("DEVICE_DELETED", ({ device }) => device === id, UNPLUG_DEADLINE_MS);
    gone.catch(() => undefined);
    await this.#monitor.execute("device_del", { id });
    await gone;
    this.#plugged.delete(id);
    this.#slots.giveBack(plugged.slot);
    await plugged.backend.remove();
  }

  /** Tells the guest of a disk's new size. @throws KataError `not-found` for a disk that was not plugged in. */
  async resizeDisk(id: string, bytes: bigint): Promise<void> {
    if (!this.#plugged.has(id)) {
      throw new KataError("not-found", { operation: "resize disk", object: id });
    }
    // Up to 2^53 bytes, more than any disk has.
    await this.#monitor.execute("block_resize", { "node-name": diskNode(id), size: Number(bytes) });
  }

  #addBackend(device: Device): Promise<Backend> {
    switch (device.kind) {
      case "disk":
        return this.#addDisk(device);
      case "network":
        return plugNetworkCard(device, this.#network);
      case "shared-directory":
        return this.#addSharedDirectory(device);
    }
  }

  async #addDisk(device: DiskDevice): Promise<Backend> {
    const { io } = device.tuning ?? DEFAULT_TUNING;
    try {
      await this.#monitor.execute("blockdev-add", blockNode(device, io));
    } catch (error) {
      // A host's kernel may not have it, or not let this process use it.
      if (io !== "io_uring" || !/io_uring/i.test(describeError(error))) throw error;
      await this.#monitor.execute("blockdev-add", blockNode(device, "threads"));
    }
    let iothread: string;
    try {
      iothread = await this.#diskThread(device);
    } catch (error) {
      await this.#monitor.execute("blockdev-del", { "node-name": diskNode(device.id) });
      throw error;
    }
    return {
      driver: "virtio-blk-pci",
      properties: { ...blockDeviceProperties(device), iothread },
      remove: async () => {
        await this.#monitor.execute("blockdev-del", { "node-name": diskNode(device.id) });
      },
    };
  }

  /**
   * The thread that a disk's requests are handled in, and not in the one that the emulated processor and all other devices wait for: the
   * disks take turns with the machine's.
   */
  async #diskThread({ tuning = DEFAULT_TUNING }: DiskDevice): Promise<string> {
    const index = this.#disks++ % Math.max(1, tuning.threads);
    this.#threads[index] ??= this.#startThread(`disk-io${index}`);
    return await this.#threads[index];
  }

  async #startThread(id: string): Promise<string> {
    await this.#monitor.execute("object-add", { "qom-type": "iothread", id });
    return id;
  }

  async #addSharedDirectory(device: SharedDirectoryDevice): Promise<Backend> {
    const id = `${device.id}-socket`;
    const str = await this.#sendDescriptor(id, connectedSocket(device));
    await this.#orTakeBack([str], () =>
      this.#monitor.execute("chardev-add", { id, backend: socketBackend(str) }),
    );
    return {
      driver: "vhost-user-fs-pci",
      properties: { chardev: id, tag: device.tag, "queue-size": device.queueSize },
      remove: async () => {
        await this.#monitor.execute("chardev-remove", { id });
      },
    };
  }

  /** Gives QEMU a copy of a descriptor under a name, which the command that uses it consumes. */
  async #sendDescriptor(fdname: string, descriptor: number): Promise<string> {
    await this.#monitor.execute("getfd", { fdname }, { descriptors: [descriptor] });
    return fdname;
  }

  async #orTakeBack(names: readonly string[], use: () => Promise<unknown>): Promise<void> {
    try {
      await use();
    } catch (error) {
      for (const fdname of names) {
        // QEMU may have consumed it before it failed.
        await this.#monitor.execute("closefd", { fdname }).catch(() => undefined);
      }
      throw error;
    }
  }

  /** Where the guest sees what is plugged into `slot`: the slot of the bridge or port, then that behind it. */
  async #pathOf({ bus, device }: HotPlugSlot): Promise<string> {
    const above = this.#rootSlots.get(bus) ?? (await this.#findOnRootBus(bus));
    this.#rootSlots.set(bus, above);
    return `${hexadecimal(above)}/${hexadecimal(device)}`;
  }

  async #findOnRootBus(name: string): Promise<number> {
    const buses = await this.#monitor.execute("query-pci", {});
    for (const bus of asRecords(buses)) {
      for (const device of asRecords(bus.devices)) {
        if (device.qdev_id === name && typeof device.slot === "number") return device.slot;
      }
    }
    throw new KataError("hypervisor-error", { operation: "find PCI bridge or port", object: name });
  }
}

function hexadecimal(slot: number): string {
  return slot.toString(16).padStart(2, "0");
}

/** A connected socket, which QEMU has under the name `str`. */
function socketBackend(str: string): SocketBackend {
  return { type: "socket", data: { addr: { type: "fd", data: { str } }, server: false } };
}
