/** A running QEMU. */
import { KataError } from "../../../kata-error.ts";
import type { Clock } from "../../../sys/clock.ts";
import { duplicate } from "../../../sys/process.ts";
import type { MachineSize } from "../../resources/sizing.ts";
import type { ConsoleLog } from "../console-log.ts";
import type { MemoryDump } from "../machine-options.ts";
import type { SupervisedProgram } from "../supervised-program.ts";
import type {
  AgentChannel,
  AttachedDevice,
  Device,
  MachineCapabilities,
  MachineExit,
  MachineHandles,
  MachineSpec,
  VirtualMachine,
} from "../types.ts";
import { hasHotPlugBridge, hasPci } from "./command-line.ts";
import { dumpAtPanic } from "./guest-panic.ts";
import { HotPlug } from "./hot-plug.ts";
import { HotPlugSlots } from "./hot-plug-slots.ts";
import type { QmpClient } from "./qmp-client.ts";
import { Resize, resizing } from "./resize.ts";
import { saveState } from "./saved-state.ts";
import { vcpuThreads } from "./vcpu-threads.ts";

/** Ending by itself takes QEMU a few milliseconds; after this it is killed. */
const QUIT_DEADLINE_MS = 1000;
/** Console lines that tell why a kernel panicked or an init failed. */
const SHOWN_CONSOLE_LINES = 4;

export interface QemuParts {
  readonly spec: MachineSpec;
  readonly program: SupervisedProgram;
  readonly client: QmpClient;
  readonly guestConsole: ConsoleLog;
  readonly agentChannel: AgentChannel;
  /** Whether its memory lasts, so that it can be saved. */
  readonly isTemplate: boolean;
  readonly clock: Clock;
  /** Numbers of the descriptors behind monitor and console, for who is given the machine. */
  readonly descriptors: { readonly monitor: number; readonly console: number };
  /** Ids of devices that were plugged in by another process. */
  readonly plugged?: readonly string[];
}

export class QemuMachine implements VirtualMachine {
  readonly pid: number;
  readonly capabilities: MachineCapabilities;
  readonly agentChannel: AgentChannel;
  readonly exited: Promise<MachineExit>;
  readonly #program: SupervisedProgram;
  readonly #client: QmpClient;
  readonly #console: ConsoleLog;
  readonly #hotPlug: HotPlug;
  readonly #resize: Resize;
  readonly #parts: QemuParts;
  #ended = false;
  /** What is known of a guest that has panicked. */
  #panic = "";

  constructor(parts: QemuParts) {
    const { spec, program, client, guestConsole, agentChannel, isTemplate, plugged = [] } = parts;
    this.#parts = parts;
    const slots = new HotPlugSlots(
      hasHotPlugBridge(spec),
      hasPci(spec) ? spec.hotPlugSlots : 0,
      spec.options?.switchPorts,
    );
    const hotPlug = !slots.isEmpty;
    this.pid = program.pid;
    this.capabilities = {
      hotPlug: { disk: hotPlug || spec.options?.diskBus === "virtio-scsi", network: hotPlug },
      sharedDirectory: true,
      template: isTemplate,
      resize: resizing(spec),
    };
    this.agentChannel = agentChannel;
    this.#program = program;
    this.#client = client;
    this.#console = guestConsole;
    this.#hotPlug = new HotPlug(
      client,
      slots,
      spec.devices.filter((device) => device.kind === "network"),
      spec,
    );
    this.#resize = new Resize(spec, client, parts.clock);
    for (const id of plugged) this.#hotPlug.adopt(id);
    this.exited = program.exited.then((how) => {
      this.#ended = true;
      client.close();
      const words = [this.#panic, this.lastOutput()].filter((text) => text !== "").join(" | ");
      return { reason: words === "" ? how : `${how}: ${words}` };
    });
    if (spec.options?.memoryDump !== undefined) void this.#endAtPanic(spec.options.memoryDump);
  }

  async #endAtPanic(dump: MemoryDump): Promise<void> {
    const { id } = this.#parts.spec;
    const told = await dumpAtPanic(this.#client, dump, { id, memoryMib: this.size.memoryMib });
    if (told === undefined) return;
    this.#panic = told;
    await this.stop();
  }

  lastOutput(): string {
    const console = this.#console.tail(Number.POSITIVE_INFINITY);
    // What follows a panic, the kernel's stack, tells an operator nothing.
    const panic = console.findIndex((line) => line.includes("Kernel panic"));
    const told = panic < 0 ? console : console.slice(0, panic + 1);
    const lines = [...told.slice(-SHOWN_CONSOLE_LINES), this.#program.lastOutput()];
    return lines.filter((line) => line !== "").join(" | ");
  }

  consoleLines(): readonly string[] {
    return this.#console.tail(Number.POSITIVE_INFINITY);
  }

  async attach(device: Device): Promise<AttachedDevice> {
    this.#mustRun(`attach ${device.kind}`);
    return await this.#hotPlug.attach(device);
  }

  async detach(id: string): Promise<void> {
    this.#mustRun("detach device");
    await this.#hotPlug.detach(id);
  }

  async resizeDisk(id: string, bytes: bigint): Promise<void> {
    this.#mustRun("resize disk");
    await this.#hotPlug.resizeDisk(id, bytes);
  }

  async pause(): Promise<void> {
    this.#mustRun("pause");
    await this.#client.execute("stop", {});
  }

  async resume(): Promise<void> {
    this.#mustRun("resume");
    await this.#client.execute("cont", {});
  }

  async save(state: number): Promise<void> {
    this.#mustRun("save");
    if (!this.capabilities.template) {
      throw new KataError("unsupported", {
        operation: "save machine",
        object: "its memory is nobody else's",
        hint: "only a machine that was started for it can be saved",
      });
    }
    await this.#program.whileRunning("save machine", saveState(this.#client, state));
  }

  async vcpuThreads(): Promise<readonly number[]> {
    this.#mustRun("find CPUs");
    return vcpuThreads(await this.#client.execute("query-cpus-fast", {}));
  }

  get size(): MachineSize {
    return this.#resize.size;
  }

  async resize(target: MachineSize, memoryBlockMib: number): Promise<MachineSize> {
    this.#mustRun("resize");
    return await this.#resize.resize(target, memoryBlockMib);
  }

  handOver(): MachineHandles {
    this.#mustRun("hand over");
    const { agentChannel } = this;
    if (agentChannel.kind !== "stream" || agentChannel.descriptor === undefined) {
      throw new KataError("unsupported", { operation: "hand over machine", object: "its agent is on vsock" });
    }
    const { descriptors } = this.#parts;
    const handles = {
      monitor: duplicate(descriptors.monitor),
      console: duplicate(descriptors.console),
      agent: duplicate(agentChannel.descriptor),
      process: duplicate(this.#program.pidfd.fd),
      monitorVersion: this.#client.version,
      plugged: this.#hotPlug.plugged,
    };
    this.#client.close();
    this.#console.close();
    agentChannel.stream.close();
    return handles;
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    await this.#program.stop(QUIT_DEADLINE_MS, () => {
      // The answer may be lost with the connection, and a stuck QEMU is killed anyway.
      this.#client.execute("quit", {}).catch(() => undefined);
    });
    this.#client.close();
    if (this.agentChannel.kind === "stream") this.agentChannel.stream.close();
  }

  kill(): void {
    this.#program.kill();
  }

  #mustRun(operation: string): void {
    if (!this.#ended) return;
    throw new KataError("unavailable", { operation, object: "the virtual machine has ended" });
  }
}
