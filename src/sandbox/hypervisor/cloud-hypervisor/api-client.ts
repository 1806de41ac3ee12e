/**
 * Cloud Hypervisor's API: what is sent, what comes back.
 * Source: Cloud Hypervisor, vmm/src/api/openapi/cloud-hypervisor.yaml, version 51.
 */
import { hasCode, KataError } from "../../../kata-error.ts";
import { type Clock, sleep } from "../../../sys/clock.ts";
import type { RestClient } from "../rest-client.ts";
import type { DeviceConfig, DiskConfig, FsConfig, NetworkRequest, VmConfig } from "./vm-config.ts";

const BASE = "/api/v1";
/** Creating a machine with all its memory, and booting it, may wait for huge pages. */
const BOOT_DEADLINE_MS = 20_000;
/** Copying the guest's memory to a file takes as long as the disk does. */
const SNAPSHOT_DEADLINE_MS = 120_000;
/** While a CPU is still on its way out, another change is refused for now: tries, and what lies between two, ms. */
const RESIZE_TRIES = 20;
const RESIZE_PAUSE_MS = 20;

/** What a device that was added got. */
export interface PciDevice {
  readonly id: string;
  /** `0000:00:05.0` */
  readonly address: string;
}

export interface Resize {
  readonly desired_vcpus?: number;
  /** Bytes, with those from the boot. */
  readonly desired_ram?: number;
}

export class CloudHypervisorApi {
  readonly #client: RestClient;
  readonly #clock: Clock;

  constructor(client: RestClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** @returns its version, `v51.1`. */
  async ping(): Promise<string> {
    const { value } = await this.#client.request({ method: "GET", path: `${BASE}/vmm.ping` });
    return textOf(value, "version", "vmm.ping");
  }

  async create(config: VmConfig): Promise<void> {
    await this.#put("vm.create", config, BOOT_DEADLINE_MS);
  }

  async boot(): Promise<void> {
    await this.#put("vm.boot", undefined, BOOT_DEADLINE_MS);
  }

  /** Whether device `id` is in the machine, also while the guest lets go of it; false for a monitor that does not tell. */
  async hasDevice(id: string): Promise<boolean> {
    const { value } = await this.#client.request({ method: "GET", path: `${BASE}/vm.info` });
    const tree = typeof value === "object" && value !== null ? Reflect.get(value, "device_tree") : undefined;
    return typeof tree === "object" && tree !== null && Object.hasOwn(tree, id);
  }

  /** `Created`, `Running`, `Shutdown` or `Paused`. */
  async state(): Promise<string> {
    const { value } = await this.#client.request({ method: "GET", path: `${BASE}/vm.info` });
    return textOf(value, "state", "vm.info");
  }

  async pause(): Promise<void> {
    await this.#put("vm.pause");
  }

  async resume(): Promise<void> {
    await this.#put("vm.resume");
  }

  /** @param directory an existing, empty one. The machine has to be paused. */
  async snapshot(directory: string): Promise<void> {
    await this.#put("vm.snapshot", { destination_url: `file://${directory}` }, SNAPSHOT_DEADLINE_MS);
  }

  /** The machine is paused after it. */
  async restore(directory: string): Promise<void> {
    await this.#put("vm.restore", { source_url: `file://${directory}` }, SNAPSHOT_DEADLINE_MS);
  }

  async shutdownMonitor(): Promise<void> {
    await this.#put("vmm.shutdown");
  }

  /** @returns undefined before the boot: the device comes with it. */
  addDisk(disk: DiskConfig): Promise<PciDevice | undefined> {
    return this.#add("vm.add-disk", disk);
  }

  addFileServer(share: FsConfig): Promise<PciDevice | undefined> {
    return this.#add("vm.add-fs", share);
  }

  /** @returns undefined before the boot: the card comes with it. */
  addNetwork(request: NetworkRequest): Promise<PciDevice | undefined> {
    if (request.kind === "tap") return this.#add("vm.add-net", request.config, request.taps);
    return this.addHostCard({ id: request.id, path: request.path });
  }

  addHostCard(card: DeviceConfig): Promise<PciDevice | undefined> {
    return this.#add("vm.add-device", card);
  }

  async removeDevice(id: string): Promise<void> {
    await this.#put("vm.remove-device", { id });
  }

  /** @throws KataError `resource-exhausted` if the monitor is busy with the change before for all of the tries. */
  async resize(size: Resize): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#put("vm.resize", size);
        return;
      } catch (error) {
        if (!hasCode(error, "resource-exhausted") || tries >= RESIZE_TRIES) throw error;
      }
      await sleep(this.#clock, RESIZE_PAUSE_MS);
    }
  }

  async resizeDisk(id: string, bytes: number): Promise<void> {
    await this.#put("vm.resize-disk", { id, desired_size: bytes });
  }

  close(): void {
    this.#client.close();
  }

  async #put(endpoint: string, body?: object, deadlineMs?: number): Promise<unknown> {
    const { value } = await this.#client.request({
      method: "PUT",
      path: `${BASE}/${endpoint}`,
      ...(body === undefined ? {} : { body }),
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
    });
    return value;
  }

  async #add(
    endpoint: string,
    body: object,
    descriptors: readonly number[] = [],
  ): Promise<PciDevice | undefined> {
    const { status, value } = await this.#client.request({
      method: "PUT",
      path: `${BASE}/${endpoint}`,
      body,
      descriptors,
    });
    if (status === 204) return undefined;
    return { id: textOf(value, "id", endpoint), address: textOf(value, "bdf", endpoint) };
  }
}

/**
 * The guest's path to a device, as the agent knows it: its slot on the root bus of its segment.
 *
 * @param address `0000:00:05.0`
 * @throws KataError `malformed-message` for another form.
 */
export function pciPath(address: string): string {
  const [, segment, bus, slot] = /^([0-9a-f]{4}):([0-9a-f]{2}):([0-9a-f]{2})\.[0-7]$/i.exec(address) ?? [];
  if (segment === "0000" && bus === "00" && slot !== undefined) return slot.toLowerCase();
  throw new KataError("malformed-message", {
    operation: "read the address of a device",
    object: JSON.stringify(address.slice(0, 80)),
    hint: "it is not on the machine's first PCI bus",
  });
}

function textOf(value: unknown, name: string, endpoint: string): string {
  const field = typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  if (typeof field === "string") return field;
  throw new KataError("malformed-message", {
    operation: `Cloud Hypervisor ${endpoint}`,
    object: `no ${name} in its answer`,
  });
}
