/**
 * Plugging devices into a running QEMU: the host side's object first, then the device; the other way round when it goes.
 *
 * A device sits behind a PCI Express port of its own, since those are what the guest expects devices to appear at.
 * Source: QEMU documentation, docs/pcie.txt; QMP reference, device_add, blockdev-add, netdev_add.
 */
import { KataError } from "../../../kata-error.ts";
import { S_IFBLK, S_IFMT, stat } from "../../../sys/files.ts";
import type { AttachedDevice, Device, DiskDevice, NetworkDevice, SharedDirectoryDevice } from "../types.ts";
import { hotPlugPort } from "./command-line.ts";
import type { QmpClient } from "./qmp-client.ts";
import { isRecord } from "./qmp-messages.ts";

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
  readonly port: string;
  readonly backend: Backend;
}

export class HotPlug {
  readonly #monitor: QmpClient;
  readonly #freePorts: string[];
  readonly #plugged = new Map<string, Plugged>();

  /** @param ports number of ports that the machine was started with. */
  constructor(monitor: QmpClient, ports: number) {
    this.#monitor = monitor;
    this.#freePorts = Array.from({ length: ports }, (_, index) => hotPlugPort(index));
  }

  /** @throws KataError `resource-exhausted` if all ports are taken; nothing is left if a step fails. */
  async attach(device: Device): Promise<AttachedDevice> {
    if (this.#plugged.has(device.id)) {
      throw new KataError("already-exists", { operation: "plug in device", object: device.id });
    }
    const port = this.#freePorts.shift();
    if (port === undefined) {
      throw new KataError("resource-exhausted", {
        operation: "plug in device",
        object: device.id,
        hint: "all hot-plug ports of the machine are taken, raise pcie_root_port in configuration.toml",
      });
    }
    try {
      const backend = await this.#addBackend(device);
      try {
        await this.#monitor.execute("device_add", {
          ...backend.properties,
          driver: backend.driver,
          id: device.id,
          bus: port,
        });
      } catch (error) {
        await backend.remove();
        throw error;
      }
      this.#plugged.set(device.id, { port, backend });
      return { pciPath: await this.#pathOf(port) };
    } catch (error) {
      if (!this.#plugged.has(device.id)) this.#freePorts.unshift(port);
      throw error;
    }
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
    this.#freePorts.push(plugged.port);
    await plugged.backend.remove();
  }

  #addBackend(device: Device): Promise<Backend> {
    switch (device.kind) {
      case "disk":
        return this.#addDisk(device);
      case "network":
        return this.#addNetwork(device);
      case "shared-directory":
        return this.#addSharedDirectory(device);
    }
  }

  async #addDisk(device: DiskDevice): Promise<Backend> {
    const node = `${device.id}-node`;
    const isBlockDevice = (stat(device.path).mode & S_IFMT) === S_IFBLK;
    await this.#monitor.execute("blockdev-add", {
      driver: "raw",
      "node-name": node,
      "read-only": device.readOnly,
      file: { driver: isBlockDevice ? "host_device" : "file", filename: device.path, aio: "threads" },
    });
    return {
      driver: "virtio-blk-pci",
      properties: { drive: node },
      remove: async () => {
        await this.#monitor.execute("blockdev-del", { "node-name": node });
      },
    };
  }

  async #addNetwork(device: NetworkDevice): Promise<Backend> {
    const id = `${device.id}-tap`;
    const fd = await this.#sendDescriptor(id, device.tap);
    const vhostfd =
      device.vhost === undefined ? undefined : await this.#sendDescriptor(`${id}-vhost`, device.vhost);
    await this.#orTakeBack([fd, vhostfd], () =>
      this.#monitor.execute("netdev_add", {
        type: "tap",
        id,
        fd,
        ...(vhostfd === undefined ? {} : { vhost: true, vhostfd }),
      }),
    );
    return {
      driver: "virtio-net-pci",
      properties: { netdev: id, mac: device.macAddress, romfile: "" },
      remove: async () => {
        await this.#monitor.execute("netdev_del", { id });
      },
    };
  }

  async #addSharedDirectory(device: SharedDirectoryDevice): Promise<Backend> {
    const id = `${device.id}-socket`;
    const str = await this.#sendDescriptor(id, device.socket);
    await this.#orTakeBack([str], () =>
      this.#monitor.execute("chardev-add", {
        id,
        backend: { type: "socket", data: { addr: { type: "fd", data: { str } }, server: false } },
      }),
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

  async #orTakeBack(names: readonly (string | undefined)[], use: () => Promise<unknown>): Promise<void> {
    try {
      await use();
    } catch (error) {
      for (const fdname of names) {
        if (fdname === undefined) continue;
        // QEMU may have consumed it before it failed.
        await this.#monitor.execute("closefd", { fdname }).catch(() => undefined);
      }
      throw error;
    }
  }

  /** Where the guest sees what is plugged into `port`: the port's slot, then slot 0 behind it. */
  async #pathOf(port: string): Promise<string> {
    const buses = await this.#monitor.execute("query-pci", {});
    for (const bus of asList(buses)) {
      for (const device of asList(bus.devices)) {
        if (device.qdev_id === port && typeof device.slot === "number") {
          return `${device.slot.toString(16).padStart(2, "0")}/00`;
        }
      }
    }
    throw new KataError("hypervisor-error", { operation: "find PCI port", object: port });
  }
}

function asList(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}
