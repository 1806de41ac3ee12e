/**
 * What Cloud Hypervisor makes of requests: each is checked against the schema, and against what may come after what. Behind it a real
 * machine boots.
 */

import { describeError } from "../../../src/kata-error.ts";
import type { FileDescriptor } from "../../../src/sys/descriptor.ts";
import {
  ftruncate,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  open,
  readTextFile,
  writeAll,
} from "../../../src/sys/files.ts";
import { memfdCreate } from "../../../src/sys/memory.ts";
import { writeSync } from "../../../src/sys/program.ts";
import { copySparse } from "../../../src/sys/sparse-copy.ts";
import { utf8Encode } from "../../../src/sys/utf8.ts";
import { type BackingCard, BackingMachine } from "../backing-machine.ts";
import type { HttpAnswer, HttpRequest } from "../http-request.ts";
import { Confinement } from "./confinement.ts";
import type { Config, Share } from "./machine-config.ts";
import { payloadFault } from "./payload.ts";
import { faults } from "./schema.ts";

const BASE = "/api/v1/";
const VERSION = "v51.1";
/** What the API calls the network queues of one descriptor. */
const QUEUES_OF_A_PAIR = 2;
/** In which disks are resized. */
const SECTOR_BYTES = 512;

/** On which the driver has its shares. */
const SHARE_SEGMENT = "0001";

type State =
  | { readonly is: "Nothing" }
  | { readonly is: "Created"; readonly config: Config; readonly cards: BackingCard[] }
  | {
      readonly is: "Running" | "Paused";
      readonly config: Config;
      readonly machine: BackingMachine;
      readonly memory: FileDescriptor;
      readonly plugged: Set<string>;
    };

/** A request that the monitor refuses, with the status that it answers. */
class Refused extends Error {
  readonly status: number;

  constructor(status: number, why: string) {
    super(why);
    this.status = status;
  }
}

type Endpoint = (monitor: Monitor, body: unknown, request: HttpRequest) => Promise<unknown>;

/** Each with its method and the type of its body; without one, a body is refused. */
const ENDPOINTS: Readonly<
  Record<string, readonly [method: string, type: string | undefined, run: Endpoint]>
> = {
  "vmm.ping": [
    "GET",
    undefined,
    async () => ({ build_version: VERSION, version: VERSION, pid: 1, features: [] }),
  ],
  "vmm.shutdown": ["PUT", undefined, (monitor) => monitor.shutdown()],
  "vm.info": ["GET", undefined, (monitor) => monitor.info()],
  "vm.create": ["PUT", "VmConfig", (monitor, body) => monitor.create(body as Config)],
  "vm.boot": ["PUT", undefined, (monitor) => monitor.boot()],
  "vm.pause": ["PUT", undefined, (monitor) => monitor.pause()],
  "vm.resume": ["PUT", undefined, (monitor) => monitor.resume()],
  "vm.add-net": ["PUT", "NetConfig", (monitor, body, { descriptors }) => monitor.addNet(body, descriptors)],
  "vm.snapshot": [
    "PUT",
    "VmSnapshotConfig",
    (monitor, body) => monitor.snapshot((body as { destination_url?: string }).destination_url),
  ],
  "vm.restore": [
    "PUT",
    "RestoreConfig",
    (monitor, body) => monitor.restore((body as { source_url: string }).source_url),
  ],
  "vm.add-fs": ["PUT", "FsConfig", (monitor, body) => monitor.addFs(body as Share)],
  "vm.add-device": ["PUT", "DeviceConfig", (monitor, body) => monitor.addDevice(body)],
  "vm.add-disk": ["PUT", "DiskConfig", (monitor, body) => monitor.addDisk(body)],
  "vm.resize": ["PUT", "VmResize", (monitor, body) => monitor.resize(body)],
  "vm.resize-disk": [
    "PUT",
    "VmResizeDisk",
    (monitor, body) => monitor.resizeDisk(body as { id?: string; desired_size?: number }),
  ],
  "vm.remove-device": ["PUT", "VmRemoveDevice", (monitor, body) => monitor.removeDevice(body)],
};

export class Monitor {
  readonly #quit: () => void;
  #state: State = { is: "Nothing" };
  #confinement: Confinement | undefined;

  /** @param quit ends the process. */
  constructor(quit: () => void) {
    this.#quit = quit;
  }

  async answer(request: HttpRequest): Promise<HttpAnswer> {
    try {
      const [method, type, run] = ENDPOINTS[request.path.slice(BASE.length)] ?? [];
      if (!request.path.startsWith(BASE) || run === undefined) throw new Refused(404, `no ${request.path}`);
      if (request.method !== method) throw new Refused(405, `${request.path} takes ${method}`);
      const value = await run(this, parseBody(request.body, type), request);
      return value === undefined ? { status: 204 } : { status: 200, body: JSON.stringify(value) };
    } catch (error) {
      if (error instanceof Refused) return { status: error.status, body: JSON.stringify([error.message]) };
      return { status: 500, body: JSON.stringify([String(error)]) };
    }
  }

  async shutdown(): Promise<undefined> {
    if (this.#state.is === "Running" || this.#state.is === "Paused") await this.#state.machine.stop();
    this.#quit();
    return undefined;
  }

  async info(): Promise<unknown> {
    if (this.#state.is === "Nothing") throw new Refused(404, "VmNotCreated");
    const devices = this.#state.is === "Created" ? [] : [...this.#state.plugged];
    return {
      config: this.#state.config,
      state: this.#state.is,
      device_tree: Object.fromEntries(devices.map((id) => [id, { id, resources: [], children: [] }])),
      memory_actual_size: this.#state.config.memory.size,
    };
  }

  async create(config: Config): Promise<undefined> {
    if (this.#state.is !== "Nothing") throw new Refused(500, "VmAlreadyCreated");
    if ((config.fs ?? []).length > 0 && config.memory.shared !== true) {
      throw new Refused(500, "VhostUserRequiresSharedMemory");
    }
    if (config.cpus.boot_vcpus < 1 || config.cpus.boot_vcpus > config.cpus.max_vcpus) {
      throw new Refused(500, "CpusMaxLowerThanBoot");
    }
    const missing = payloadFault(config);
    if (missing !== undefined) throw new Refused(500, missing);
    if (config.vsock === undefined || config.vsock.cid < 3) throw new Refused(500, "VsockCidInvalid");
    const confinement = Confinement.of(config);
    if (typeof confinement === "string") throw new Refused(500, confinement);
    this.#confinement = confinement;
    this.#state = { is: "Created", config, cards: [] };
    return undefined;
  }

  async boot(): Promise<undefined> {
    const state = this.#state;
    if (state.is !== "Created") throw new Refused(state.is === "Nothing" ? 404 : 500, "VmNotCreated");
    if (state.config.platform?.sev_snp === true)
      throw new Refused(500, "VmBoot: this processor has no SEV-SNP");
    await this.#start(state.config, state.cards);
    return undefined;
  }

  /** @param saved descriptors of a machine that goes on. */
  async #start(
    config: Config,
    cards: BackingCard[],
    saved?: { readonly state: number; readonly memory: number },
  ): Promise<void> {
    const memory = memfdCreate("guest");
    ftruncate(memory.fd, config.memory.size);
    if (saved !== undefined) await copySparse(saved.memory, memory.fd);
    const machine = await BackingMachine.start({
      memory: memory.fd,
      ...(saved === undefined ? {} : { state: saved.state }),
      memoryBytes: config.memory.size,
      hotPlugBytes: config.memory.hotplug_size ?? 0,
      growsInPieces: config.memory.hotplug_method === "VirtioMem" && (config.memory.hotplug_size ?? 0) > 0,
      vcpus: config.cpus.boot_vcpus,
      maxVcpus: config.cpus.max_vcpus,
      kernel: config.payload.kernel ?? "",
      initrd: config.payload.initramfs,
      commandLine: config.payload.cmdline ?? "",
      disks: (config.disks ?? []).map((disk, index) => ({
        id: disk.id ?? `_disk${index}`,
        path: disk.path,
        readOnly: disk.readonly ?? false,
        ...(disk.serial === undefined ? {} : { serial: disk.serial }),
      })),
      cards,
      shares: (config.fs ?? []).map(({ tag, socket, queue_size }) => ({
        tag,
        socket,
        queueSize: queue_size,
      })),
      vsock: config.vsock?.socket ?? "",
    });
    // The guest that ends takes its monitor along.
    void machine.exited.then(() => this.#quit());
    const ids = [...cards, ...(config.disks ?? [])].flatMap(({ id }) => id ?? []);
    this.#state = { is: "Running", config, machine, memory, plugged: new Set(ids) };
  }

  /** Writes the files that the monitor has: the memory with all of its pages, and none of them anew. */
  async snapshot(url: string | undefined): Promise<undefined> {
    const state = this.#booted();
    if (state.is !== "Paused") throw new Refused(405, "VmNotPaused");
    const directory = directoryOf(url);
    const create = (name: string) => open(`${directory}/${name}`, O_RDWR | O_CREAT | O_EXCL, 0o600);
    using config = create("config.json");
    using devices = create("state.json");
    using memory = create("memory-ranges");
    writeAll(config.fd, utf8Encode(JSON.stringify(state.config)));
    // QEMU stops it by itself, and remembers that it ran.
    await state.machine.resume();
    await state.machine.save(devices.fd);
    ftruncate(memory.fd, state.config.memory.size);
    await copySparse(state.memory.fd, memory.fd);
    return undefined;
  }

  /** Leaves the machine paused. */
  async restore(url: string): Promise<undefined> {
    if (this.#state.is !== "Nothing") throw new Refused(500, "VmAlreadyCreated");
    const directory = directoryOf(url);
    const config: unknown = JSON.parse(readTextFile(`${directory}/config.json`));
    const wrong = faults(config, "VmConfig");
    if (wrong.length > 0) throw new Refused(500, `VmRestore: ${wrong.join("; ")}`);
    using state = open(`${directory}/state.json`, O_RDONLY);
    using memory = open(`${directory}/memory-ranges`, O_RDONLY);
    await this.#start(config as Config, [], { state: state.fd, memory: memory.fd });
    const started = this.#booted();
    await started.machine.pause();
    this.#state = { ...started, is: "Paused" };
    return undefined;
  }

  async pause(): Promise<undefined> {
    const state = this.#booted();
    if (state.is !== "Running") throw new Refused(405, "VmNotRunning");
    await state.machine.pause();
    this.#state = { ...state, is: "Paused" };
    return undefined;
  }

  async resume(): Promise<undefined> {
    const state = this.#booted();
    if (state.is !== "Paused") throw new Refused(405, "VmNotPaused");
    await state.machine.resume();
    this.#state = { ...state, is: "Running" };
    return undefined;
  }

  async addNet(body: unknown, descriptors: HttpRequest["descriptors"]): Promise<unknown> {
    const {
      id = "_net0",
      mac = "",
      num_queues: queues = 2,
    } = body as { id?: string; mac?: string; num_queues?: number };
    const [tap] = descriptors;
    if (tap === undefined || queues !== QUEUES_OF_A_PAIR * descriptors.length) {
      throw new Refused(500, `VnetQueueFdMismatch: ${queues} queues, ${descriptors.length} descriptors`);
    }
    const state = this.#state;
    if (state.is === "Nothing") throw new Refused(500, "VmNotCreated");
    if (state.is === "Created") {
      state.cards.push({ id, mac, tap });
      return undefined;
    }
    this.#claimId(state, id);
    const slot = await state.machine.addCard({ id, mac, tap });
    tap.close();
    return { id, bdf: addressOf(slot) };
  }

  async addDisk(body: unknown): Promise<unknown> {
    const {
      id = "_disk9",
      path = "",
      readonly = false,
    } = body as { id?: string; path?: string; readonly?: boolean };
    const state = this.#booted();
    if (this.#confinement?.lets(path, readonly ? "r" : "rw") === false) {
      throw new Refused(500, `Disk: ${path}: Permission denied (os error 13)`);
    }
    this.#claimId(state, id);
    return { id, bdf: addressOf(await state.machine.addDisk({ id, path, readOnly: readonly })) };
  }

  /** There is no card of the host: the guest sees one that is emulated. */
  async addDevice(body: unknown): Promise<unknown> {
    const { id = "_vfio9", path = "" } = body as { id?: string; path?: string };
    if (!/^\/sys\/bus\/pci\/devices\/[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(path))
      throw new Refused(500, `VfioCreate: no device at ${path}`);
    const state = this.#booted();
    this.#claimId(state, id);
    return { id, bdf: addressOf(await state.machine.addEmulatedCard(id)) };
  }

  async addFs({ id = "_fs9", tag, socket, queue_size }: Share): Promise<unknown> {
    const state = this.#booted();
    if (state.config.memory.shared !== true) throw new Refused(500, "VhostUserRequiresSharedMemory");
    this.#claimId(state, id);
    const slot = await state.machine.addShare({ id, tag, socket, queueSize: queue_size });
    return { id, bdf: addressOf(slot, SHARE_SEGMENT) };
  }

  async resize(body: unknown): Promise<undefined> {
    const state = this.#booted();
    const { cpus, memory } = state.config;
    const { desired_vcpus: vcpus = 1, desired_ram: bytes } = body as {
      desired_vcpus?: number;
      desired_ram?: number;
    };
    if (vcpus < 1 || vcpus > cpus.max_vcpus) throw new Refused(500, "DesiredVCpuCountExceedsMax");
    if (bytes !== undefined && bytes > memory.size + (memory.hotplug_size ?? 0))
      throw new Refused(500, "InsufficientHotplugRam");
    await state.machine.grow(vcpus, bytes);
    return undefined;
  }

  /** As version 51 does: the file is made that large, which a block device cannot be. */
  async resizeDisk({
    id = "",
    desired_size: bytes = 0,
  }: {
    id?: string;
    desired_size?: number;
  }): Promise<undefined> {
    const state = this.#booted();
    if (!state.plugged.has(id)) throw new Refused(500, `ResizeDisk: UnknownDeviceId ${id}`);
    if (bytes % SECTOR_BYTES !== 0) throw new Refused(500, `ResizeDisk: InvalidSize ${bytes}`);
    await state.machine.resizeDisk(id, bytes);
    return undefined;
  }

  async removeDevice(body: unknown): Promise<undefined> {
    const { id = "" } = body as { id?: string };
    const state = this.#booted();
    if (!state.plugged.has(id)) throw new Refused(404, `UnknownDeviceId ${id}`);
    // The answer does not wait for the guest.
    state.machine.remove(id).then(
      () => state.plugged.delete(id),
      // A guest that does not let go keeps it, which `vm.info` goes on to say.
      (error: unknown) => writeSync(2, `${id} stays: ${describeError(error)}\n`),
    );
    return undefined;
  }

  #booted(): Extract<State, { is: "Running" | "Paused" }> {
    const state = this.#state;
    if (state.is === "Running" || state.is === "Paused") return state;
    throw new Refused(state.is === "Nothing" ? 404 : 500, "VmNotRunning");
  }

  #claimId({ plugged }: { readonly plugged: Set<string> }, id: string): void {
    if (plugged.has(id)) throw new Refused(500, `IdentifierNotUnique ${id}`);
    plugged.add(id);
  }
}

function parseBody(text: string, type: string | undefined): unknown {
  if (type === undefined) {
    if (text !== "") throw new Refused(400, "a body where there is none");
    return undefined;
  }
  const value: unknown = JSON.parse(text === "" ? "null" : text);
  const wrong = faults(value, type);
  if (wrong.length > 0) throw new Refused(400, wrong.join("; "));
  return value;
}

/** @throws Refused with the monitor's word for another kind of address. */
function directoryOf(url = ""): string {
  const [, path] = /^file:\/\/(\/.*)$/.exec(url) ?? [];
  if (path === undefined) throw new Refused(500, `VmSnapshot: Missing or unsupported URL scheme: ${url}`);
  return path;
}

function addressOf(slot: number, segment = "0000"): string {
  return `${segment}:00:${slot.toString(16).padStart(2, "0")}.0`;
}
