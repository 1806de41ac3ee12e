/** A running Cloud Hypervisor. */
import { KataError } from "../../../kata-error.ts";
import { type Clock, sleep } from "../../../sys/clock.ts";
import { S_IFBLK, S_IFMT, stat, unlinkIfExists } from "../../../sys/files.ts";
import type { MachineSize } from "../../resources/sizing.ts";
import type { DiskDevice } from "../disk-device.ts";
import type { SupervisedProgram } from "../supervised-program.ts";
import { threadsByName } from "../threads-by-name.ts";
import type {
  AgentChannel,
  AttachedDevice,
  Device,
  MachineCapabilities,
  MachineExit,
  MachineSpec,
  Resizing,
  VirtualMachine,
} from "../types.ts";
import { type CloudHypervisorApi, type PciDevice, pciPath } from "./api-client.ts";
import type { DiskRoom } from "./disk-room.ts";
import { requireResizing } from "./resizing-disks.ts";
import { saveMachine } from "./saved-machine.ts";
import { diskConfig, hostCardConfig, networkRequest, shareConfig } from "./vm-config.ts";

/** Ending by itself takes it some ten milliseconds; after this it is killed. */
const QUIT_DEADLINE_MS = 1000;
/** The guest has to let go of a device; under emulation and load that takes seconds. */
const UNPLUG_DEADLINE_MS = 10_000;
const UNPLUG_LOOK_MS = 10;
const MIB = 1 << 20;
/** How the monitor calls its threads that run CPUs. */
const VCPU_THREAD = /^vcpu(\d+)$/;
/** The agent's port on vsock. */
const AGENT_VSOCK_PORT = 1024;

export interface CloudHypervisorParts {
  readonly spec: MachineSpec;
  readonly program: SupervisedProgram;
  readonly client: CloudHypervisorApi;
  /** Of the monitor: `v51.1`. */
  readonly version: string;
  /** Path of the socket that leads to the guest's ports. */
  readonly vsock: string;
  /** Where it gets its disks, if it is not root. */
  readonly room?: DiskRoom | undefined;
  /** Descriptor of the file that the memory of a machine that is to be saved goes to. */
  readonly memory?: number | undefined;
  readonly clock: Clock;
}

export class CloudHypervisorMachine implements VirtualMachine {
  readonly pid: number;
  readonly capabilities: MachineCapabilities;
  readonly agentChannel: AgentChannel;
  readonly exited: Promise<MachineExit>;
  readonly #spec: MachineSpec;
  readonly #program: SupervisedProgram;
  readonly #client: CloudHypervisorApi;
  readonly #room: DiskRoom | undefined;
  readonly #version: string;
  readonly #memory: number | undefined;
  readonly #clock: Clock;
  /** Ids of what can be taken out: a card of the start, too. */
  readonly #plugged: Set<string>;
  /** Ids of disks that are block devices of the host. */
  readonly #blockDevices = new Set<string>();
  #size: MachineSize;
  #ended = false;

  constructor({ spec, program, client, version, vsock, room, memory, clock }: CloudHypervisorParts) {
    this.#clock = clock;
    this.#room = room;
    this.#version = version;
    this.#memory = memory;
    this.#plugged = new Set(spec.devices.flatMap(({ kind, id }) => (kind === "network" ? [id] : [])));
    this.pid = program.pid;
    this.agentChannel = { kind: "hybrid-vsock", path: vsock, port: AGENT_VSOCK_PORT };
    this.capabilities = {
      hotPlug: { disk: true, network: true },
      sharedDirectory: true,
      template: memory !== undefined,
      resize: {
        vcpus: spec.maxVcpus > spec.vcpus ? "grows and shrinks" : "fixed",
        memory: memoryResizing(spec),
      },
    };
    this.#size = { vcpus: spec.vcpus, memoryMib: spec.memoryMib };
    this.#spec = spec;
    this.#program = program;
    this.#client = client;
    this.exited = program.exited.then((how) => {
      this.#ended = true;
      client.close();
      room?.[Symbol.dispose]();
      unlinkIfExists(vsock);
      const words = this.lastOutput();
      return { reason: words === "" ? how : `${how}: ${words}` };
    });
  }

  lastOutput(): string {
    return this.#program.lastOutput();
  }

  async attach(device: Device): Promise<AttachedDevice> {
    this.#mustRun(`attach ${device.kind}`);
    if (this.#plugged.has(device.id)) {
      throw new KataError("already-exists", { operation: "plug in device", object: device.id });
    }
    const added = await this.#add(device);
    if (added === undefined) {
      this.#takeDisk(device.id);
      throw new KataError("hypervisor-error", {
        operation: "plug in device",
        object: device.id,
        hint: "Cloud Hypervisor takes the machine for one that is not running",
      });
    }
    this.#plugged.add(device.id);
    // A share is on a segment of its own, where the guest looks for it by its name.
    return { pciPath: device.kind === "shared-directory" ? added.address : pciPath(added.address) };
  }

  #add(device: Device): Promise<PciDevice | undefined> {
    switch (device.kind) {
      case "disk":
        return this.#addDisk(device);
      case "network":
        return this.#client.addNetwork(networkRequest(device, this.#spec));
      case "host-card":
        return this.#client.addHostCard(hostCardConfig(device, this.#spec));
      case "served-disk":
        throw new KataError("unsupported", {
          operation: "plug in device",
          object: device.id,
          hint: "disks that another program serves are QEMU's alone",
        });
      case "shared-directory":
        return this.#client.addFileServer(shareConfig(device));
    }
  }

  async #addDisk(disk: DiskDevice): Promise<PciDevice | undefined> {
    const isBlockDevice = (stat(disk.path).mode & S_IFMT) === S_IFBLK;
    const path = this.#room?.put(disk) ?? disk.path;
    try {
      const added = await this.#client.addDisk(diskConfig({ ...disk, path }, this.#spec));
      if (isBlockDevice) this.#blockDevices.add(disk.id);
      return added;
    } catch (error) {
      this.#takeDisk(disk.id);
      throw error;
    }
  }

  /** With the monitor's end all disks are taken away. */
  #takeDisk(id: string): void {
    if (!this.#ended) this.#room?.take(id);
  }

  async detach(id: string): Promise<void> {
    this.#mustRun("detach device");
    if (!this.#plugged.has(id)) {
      throw new KataError("not-found", { operation: "unplug device", object: id });
    }
    await this.#client.removeDevice(id);
    await this.#gone(id);
    this.#plugged.delete(id);
    this.#blockDevices.delete(id);
    this.#takeDisk(id);
  }

  /** The monitor answers at once, and has the device, with what is behind it, until the guest has let go of it. Nothing tells when. */
  async #gone(id: string): Promise<void> {
    const giveUp = this.#clock.now() + UNPLUG_DEADLINE_MS;
    while (await this.#client.hasDevice(id)) {
      if (this.#clock.now() > giveUp) {
        throw new KataError("deadline-exceeded", {
          operation: "unplug device",
          object: `${id}: the guest keeps it`,
        });
      }
      await sleep(this.#clock, UNPLUG_LOOK_MS);
    }
  }

  async resizeDisk(id: string, bytes: bigint): Promise<void> {
    this.#mustRun("resize disk");
    if (!this.#plugged.has(id)) throw new KataError("not-found", { operation: "resize disk", object: id });
    requireResizing(this.#version, this.#blockDevices.has(id));
    // Up to 2^53 bytes, more than any disk has.
    await this.#client.resizeDisk(id, Number(bytes));
  }

  async vcpuThreads(): Promise<readonly number[]> {
    this.#mustRun("find CPUs");
    return threadsByName(this.pid, VCPU_THREAD);
  }

  get size(): MachineSize {
    return this.#size;
  }

  async resize(target: MachineSize, memoryBlockMib: number): Promise<MachineSize> {
    this.#mustRun("resize");
    const before = this.#size;
    const memoryMib = this.#memoryFor(target.memoryMib, memoryBlockMib);
    if (target.vcpus !== before.vcpus) await this.#client.resize({ desired_vcpus: target.vcpus });
    try {
      if (memoryMib !== before.memoryMib) await this.#client.resize({ desired_ram: memoryMib * MIB });
    } catch (error) {
      if (target.vcpus !== before.vcpus) await this.#client.resize({ desired_vcpus: before.vcpus });
      throw error;
    }
    this.#size = { vcpus: target.vcpus, memoryMib };
    return this.#size;
  }

  /** Memory in modules stays; that of virtio-mem comes and goes. */
  #memoryFor(targetMib: number, blockMib: number): number {
    const { memoryMib: bootMib } = this.#spec;
    const rounded = bootMib + Math.ceil(Math.max(0, targetMib - bootMib) / blockMib) * blockMib;
    return this.capabilities.resize.memory === "grows and shrinks"
      ? rounded
      : Math.max(rounded, this.#size.memoryMib);
  }

  async pause(): Promise<void> {
    this.#mustRun("pause");
    await this.#client.pause();
  }

  async resume(): Promise<void> {
    this.#mustRun("resume");
    await this.#client.resume();
  }

  async save(state: number): Promise<void> {
    this.#mustRun("save machine");
    if (this.#memory === undefined) {
      throw new KataError("unsupported", {
        operation: "save machine",
        object: "Cloud Hypervisor",
        hint: "only a machine that was started as a template is saved",
      });
    }
    await this.#client.pause();
    await saveMachine(this.#client, this.#spec.runDirectory, { state, memory: this.#memory });
    await this.stop();
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    await this.#program.stop(QUIT_DEADLINE_MS, () => {
      // The answer may be lost with the connection, and a stuck monitor is killed anyway.
      this.#client.shutdownMonitor().catch(() => undefined);
    });
    this.#client.close();
  }

  #mustRun(operation: string): void {
    if (!this.#ended) return;
    throw new KataError("unavailable", { operation, object: "the virtual machine has ended" });
  }
}

function memoryResizing({ memoryGrowth }: MachineSpec): Resizing {
  if (memoryGrowth === undefined) return "fixed";
  return memoryGrowth.kind === "virtio-mem" ? "grows and shrinks" : "grows";
}
