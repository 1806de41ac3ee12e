/**
 * Plugging devices into a running QEMU: the host side's object first, then the device; the other way round when it goes.
 *
 * A device sits in a slot of the machine's bridge, or behind a PCI Express port of its own: what the guest expects devices to
 * appear at.
 * Source: QEMU documentation, docs/pcie.txt; QMP reference, device_add, blockdev-add, netdev_add.
 */
import { KataError } from "../../../kata-error.ts";
import { Rollback } from "../../../sys/rollback.ts";
import type { DiskDevice } from "../disk-device.ts";
import type { NetworkDevice } from "../network-device.ts";
import type { AttachedDevice, Device, MachineSpec, SharedDirectoryDevice } from "../types.ts";
import { connectedSocket } from "./command-line.ts";
import { DiskNodes } from "./disk-nodes.ts";
import { blockDeviceProperties, DEFAULT_TUNING, diskNode } from "./disk-options.ts";
import type { HotPlugSlot, HotPlugSlots } from "./hot-plug-slots.ts";
import { type NetworkMonitor, plugNetworkCard, startedNetworkCard } from "./network-card.ts";
import type { QmpClient } from "./qmp-client.ts";
import { asRecords, isRecord, type SocketBackend } from "./qmp-messages.ts";
import { ScsiUnits, scsiAddress, scsiDiskProperties } from "./scsi-controller.ts";
import { addServedDisk } from "./served-disk.ts";

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
  /** Takes back what is left of a device that the guest has let go of. */
  remove(): Promise<void>;
}

export class HotPlug {
  readonly #monitor: QmpClient;
  readonly #slots: HotPlugSlots;
  readonly #nodes: DiskNodes;
  /** Of a machine whose disks are behind a controller. */
  readonly #scsi: ScsiUnits | undefined;
  readonly #plugged = new Map<string, Plugged>();
  readonly #threads: Promise<string>[] = [];
  #disks = 0;
  /** Where bridges and ports are, by their names. */
  readonly #bridgePaths = new Map<string, string>();

  /** What plugging a network card in needs of the monitor. */
  readonly #network: NetworkMonitor = {
    sendDescriptor: (name, descriptor) => this.#sendDescriptor(name, descriptor),
    orTakeBack: (names, use) => this.#orTakeBack(names, use),
    addNetdev: (netdev) => this.#monitor.execute("netdev_add", netdev),
    removeNetdev: (id) => this.#monitor.execute("netdev_del", { id }),
    addSocket: (id, str) => this.#monitor.execute("chardev-add", { id, backend: socketBackend(str) }),
    removeSocket: (id) => this.#monitor.execute("chardev-remove", { id }),
  };

  /**
   * @param cards the network cards that the machine was started with, which are in its first slots.
   * @param spec of the machine: what its disks are like.
   */
  constructor(
    monitor: QmpClient,
    slots: HotPlugSlots,
    cards: readonly NetworkDevice[] = [],
    spec: Pick<MachineSpec, "rates" | "user" | "options"> = {},
  ) {
    this.#monitor = monitor;
    this.#nodes = new DiskNodes(monitor, spec);
    this.#scsi = spec.options?.diskBus === "virtio-scsi" ? new ScsiUnits() : undefined;
    this.#slots = slots;
    for (const card of cards) {
      // A card of the host is on the root bus, and stays.
      if (card.backend.kind === "vfio" || slots.isEmpty) continue;
      const backend = startedNetworkCard(card, this.#network);
      this.#plugged.set(card.id, this.#inSlot(slots.take(card.id), backend));
    }
  }

  /** @throws KataError `resource-exhausted` if all slots are taken; nothing is left if a step fails. */
  async attach(device: Device): Promise<AttachedDevice> {
    if (this.#plugged.has(device.id)) {
      throw new KataError("already-exists", { operation: "plug in device", object: device.id });
    }
    if (device.kind === "disk" && this.#scsi !== undefined) return this.#attachScsi(device, this.#scsi);
    const slot = this.#slots.take(device.id, device.kind === "host-card" ? device.port : undefined);
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
      this.#plugged.set(device.id, this.#inSlot(slot, backend));
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
    this.#plugged.set(id, this.#inSlot(this.#slots.take(id), { remove: () => Promise.resolve() }));
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
    await plugged.remove();
  }

  #inSlot(slot: HotPlugSlot, backend: Plugged): Plugged {
    return {
      remove: async () => {
        this.#slots.giveBack(slot);
        await backend.remove();
      },
    };
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
      case "host-card":
        return Promise.resolve({
          driver: "vfio-pci",
          properties: { host: device.pciAddress },
          remove: () => Promise.resolve(),
        });
      case "served-disk":
        return addServedDisk(device, this.#monitor, this.#network);
      case "shared-directory":
        return this.#addSharedDirectory(device);
    }
  }

  async #addDisk(device: DiskDevice): Promise<Backend> {
    const undo = await this.#nodes.add(device);
    try {
      const iothread = await this.#diskThread(device);
      return {
        driver: "virtio-blk-pci",
        properties: { ...blockDeviceProperties(device), iothread },
        remove: () => undo.run(),
      };
    } catch (error) {
      await undo.run();
      throw error;
    }
  }

  /** Behind the controller, which takes no slot for it. */
  async #attachScsi(device: DiskDevice, units: ScsiUnits): Promise<AttachedDevice> {
    const unit = units.take(device.id);
    const undo = new Rollback();
    undo.add("address", () => units.giveBack(unit));
    try {
      undo.adopt(await this.#nodes.add(device));
      await this.#monitor.execute("device_add", { ...scsiDiskProperties(device, unit), id: device.id });
    } catch (error) {
      await undo.run();
      throw error;
    }
    this.#plugged.set(device.id, { remove: () => undo.run() });
    return { scsi: scsiAddress(unit) };
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
    const above = this.#bridgePaths.get(bus) ?? (await this.#findBridge(bus));
    this.#bridgePaths.set(bus, above);
    return `${above}/${hexadecimal(device)}`;
  }

  async #findBridge(name: string): Promise<string> {
    const buses = await this.#monitor.execute("query-pci", {});
    for (const bus of asRecords(buses)) {
      const path = pathTo(name, asRecords(bus.devices));
      if (path !== undefined) return path;
    }
    throw new KataError("hypervisor-error", { operation: "find PCI bridge or port", object: name });
  }
}

/** A port of a switch is behind two bridges; nothing here is behind more. */
const MAX_BRIDGES = 3;

/** Slot numbers down to the device `name` among `devices` or behind them. */
function pathTo(name: string, devices: ReturnType<typeof asRecords>, depth = 0): string | undefined {
  for (const device of devices) {
    if (typeof device.slot !== "number") continue;
    const slot = hexadecimal(device.slot);
    if (device.qdev_id === name) return slot;
    if (!isRecord(device.pci_bridge) || depth >= MAX_BRIDGES) continue;
    const below = pathTo(name, asRecords(device.pci_bridge.devices), depth + 1);
    if (below !== undefined) return `${slot}/${below}`;
  }
  return undefined;
}

function hexadecimal(slot: number): string {
  return slot.toString(16).padStart(2, "0");
}

/** A connected socket, which QEMU has under the name `str`. */
function socketBackend(str: string): SocketBackend {
  return { type: "socket", data: { addr: { type: "fd", data: { str } }, server: false } };
}
