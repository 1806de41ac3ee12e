/** A running Firecracker. */
import { KataError } from "../../../kata-error.ts";
import type { MachineSize } from "../../resources/sizing.ts";
import { diskBytes } from "../../storage/disk-bytes.ts";
import type { SupervisedProgram } from "../supervised-program.ts";
import { threadsByName } from "../threads-by-name.ts";
import type {
  AgentChannel,
  AttachedDevice,
  Device,
  MachineCapabilities,
  MachineExit,
  MachineSpec,
  VirtualMachine,
} from "../types.ts";
import type { FirecrackerApi } from "./api-client.ts";
import { type DriveSlot, SlotUse } from "./drive-slots.ts";
import { VSOCK_SOCKET } from "./machine-description.ts";
import type { MonitorFiles } from "./monitor-files.ts";
import type { MonitorLog } from "./monitor-reports.ts";
import { isSavable, saveMachine } from "./saved-machine.ts";

/** The agent's port on vsock. */
const AGENT_VSOCK_PORT = 1024;
/** How the monitor calls its threads that run CPUs. */
const VCPU_THREAD = /^fc_vcpu (\d+)$/;

export interface FirecrackerParts {
  readonly spec: MachineSpec;
  readonly program: SupervisedProgram;
  readonly client: FirecrackerApi;
  readonly files: MonitorFiles;
  readonly slots: readonly DriveSlot[];
  readonly log: MonitorLog;
  /** Descriptor of the file that a template's memory is to be in. */
  readonly memory?: number | undefined;
  /** Closes what was opened of the monitor's reports. */
  readonly closeReports: () => void;
}

export class FirecrackerMachine implements VirtualMachine {
  readonly pid: number;
  readonly capabilities: MachineCapabilities;
  readonly agentChannel: AgentChannel;
  readonly exited: Promise<MachineExit>;
  readonly size: MachineSize;
  readonly #parts: FirecrackerParts;
  readonly #use: SlotUse;
  #ended = false;

  constructor(parts: FirecrackerParts) {
    const { program, files, spec, client } = parts;
    this.pid = program.pid;
    this.agentChannel = { kind: "hybrid-vsock", path: files.host(VSOCK_SOCKET), port: AGENT_VSOCK_PORT };
    this.size = { vcpus: spec.vcpus, memoryMib: spec.memoryMib };
    this.capabilities = {
      hotPlug: { disk: true, network: false },
      sharedDirectory: false,
      template: isSavable(spec),
      resize: { vcpus: "fixed", memory: "fixed" },
    };
    this.#parts = parts;
    this.#use = new SlotUse(parts.slots);
    this.exited = program.exited.then((how) => {
      const words = this.lastOutput();
      this.#ended = true;
      client.close();
      parts.closeReports();
      files.remove();
      return { reason: words === "" ? how : `${how}: ${words}` };
    });
  }

  lastOutput(): string {
    const { program, log } = this.#parts;
    return [program.lastOutput(), log.lastWords()].filter((words) => words !== "").join(" | ");
  }

  async attach(device: Device): Promise<AttachedDevice> {
    this.#mustRun(`attach ${device.kind}`);
    if (device.kind !== "disk") throw onlyDisks("plug in device", device);
    const { client, files } = this.#parts;
    const bytes = diskBytes(device.path);
    const slot = this.#use.take(device.id, device.readOnly);
    try {
      const path = files.putDisk(slot.id, device.path, device.readOnly);
      try {
        await client.changeDrive(slot.id, path);
      } catch (error) {
        files.takeDisk(slot.id);
        throw error;
      }
    } catch (error) {
      this.#use.free(device.id);
      throw error;
    }
    return { node: slot.node, bytes };
  }

  /** The guest has let go of it before: the agent unmounts what a container had. */
  async detach(id: string): Promise<void> {
    this.#mustRun("detach device");
    const { client, files, spec } = this.#parts;
    const other = spec.devices.find((device) => device.id === id && device.kind !== "disk");
    if (other !== undefined) throw onlyDisks("unplug device", other);
    const slot = this.#use.of(id, "unplug device");
    await client.changeDrive(slot.id, files.takeDisk(slot.id));
    this.#use.free(id);
  }

  async resizeDisk(id: string): Promise<void> {
    this.#mustRun("resize disk");
    const slot = this.#use.of(id, "resize disk");
    const { client, files } = this.#parts;
    await client.changeDrive(slot.id, files.diskPath(slot.id));
  }

  async vcpuThreads(): Promise<readonly number[]> {
    this.#mustRun("find CPUs");
    return threadsByName(this.pid, VCPU_THREAD);
  }

  resize(): Promise<MachineSize> {
    throw new KataError("unsupported", {
      operation: "resize machine",
      object: "Firecracker",
      hint: "its machines keep the size that they boot with",
    });
  }

  async pause(): Promise<void> {
    this.#mustRun("pause");
    await this.#parts.client.pause();
  }

  async resume(): Promise<void> {
    this.#mustRun("resume");
    await this.#parts.client.resume();
  }

  async save(state: number): Promise<void> {
    this.#mustRun("save machine");
    const { client, files, memory } = this.#parts;
    if (memory === undefined) {
      throw new KataError("unsupported", {
        operation: "save machine",
        object: "Firecracker",
        hint: "only a machine that was started as a template is saved",
      });
    }
    await client.pause();
    await saveMachine(client, files, { state, memory });
    await this.stop();
  }

  /** It has nothing to write back: what the guest has written is with the host's kernel. */
  async stop(): Promise<void> {
    const { spec, client, program } = this.#parts;
    // Only the log wants them; a monitor that is stuck is killed without.
    if (!this.#ended && spec.debug) await client.flushMetrics().catch(() => undefined);
    if (!this.#ended) await program.stop(0);
    await this.exited;
  }

  kill(): void {
    this.#parts.program.kill();
  }

  #mustRun(operation: string): void {
    if (!this.#ended) return;
    throw new KataError("unavailable", { operation, object: "the virtual machine has ended" });
  }
}

function onlyDisks(operation: string, { id, kind }: Device): KataError {
  return new KataError("unsupported", {
    operation,
    object: `${id}, a ${kind}`,
    hint: "nothing but disks comes and goes while a machine of Firecracker runs",
  });
}
