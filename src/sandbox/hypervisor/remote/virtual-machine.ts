/** A machine that runs somewhere else. This host has no process of it, and can only start and stop it. */
import { KataError } from "../../../kata-error.ts";
import { getpid } from "../../../sys/process.ts";
import type { SocketAddress } from "../../../sys/socket.ts";
import type { MachineSize } from "../../resources/sizing.ts";
import type {
  AgentChannel,
  AttachedDevice,
  MachineCapabilities,
  MachineExit,
  MachineSpec,
  VirtualMachine,
} from "../types.ts";
import { type RemoteService, stopRemote } from "./remote-service.ts";

export interface RemoteMachineParts {
  readonly spec: MachineSpec;
  readonly service: RemoteService;
  readonly agent: SocketAddress;
}

export class RemoteMachine implements VirtualMachine {
  /** The shim itself: engines read a process's start time, and there is none of the machine. Upstream does the same. */
  readonly pid = getpid();
  readonly capabilities: MachineCapabilities = {
    hotPlug: { disk: false, network: false },
    sharedDirectory: false,
    template: false,
    resize: { vcpus: "fixed", memory: "fixed" },
  };
  readonly endsUnnoticed = true;
  readonly agentChannel: AgentChannel;
  /** Settles when it has been stopped from here: nobody tells of another end. */
  readonly exited: Promise<MachineExit>;
  readonly size: MachineSize;
  readonly #service: RemoteService;
  readonly #id: string;
  #tellExit: (exit: MachineExit) => void = () => undefined;
  #stopping: Promise<void> | undefined;

  constructor({ spec, service, agent }: RemoteMachineParts) {
    this.agentChannel = { kind: "socket", address: agent };
    this.size = { vcpus: spec.vcpus, memoryMib: spec.memoryMib };
    this.#service = service;
    this.#id = spec.id;
    this.exited = new Promise((resolve) => {
      this.#tellExit = resolve;
    });
  }

  /** Its console is the service's. */
  lastOutput(): string {
    return "";
  }

  attach(): Promise<AttachedDevice> {
    return this.#cannot("plug in device", "it has no devices of this host");
  }

  detach(): Promise<void> {
    return this.#cannot("unplug device", "it has no devices of this host");
  }

  resizeDisk(): Promise<void> {
    return this.#cannot("resize disk", "it has no devices of this host");
  }

  pause(): Promise<void> {
    return this.#cannot("pause machine", "the protocol has no call for it");
  }

  resume(): Promise<void> {
    return this.#cannot("resume machine", "the protocol has no call for it");
  }

  save(): Promise<void> {
    return this.#cannot("save machine", "the protocol has no call for it");
  }

  vcpuThreads(): Promise<readonly number[]> {
    return Promise.resolve([]);
  }

  resize(): Promise<MachineSize> {
    return this.#cannot("resize machine", "it keeps the size that it was made with");
  }

  /** Tried again by the next call if it fails: a machine that is forgotten goes on costing. */
  stop(): Promise<void> {
    this.#stopping ??= stopRemote(this.#service, this.#id).then(
      () => this.#tellExit({ reason: "the remote hypervisor has stopped it" }),
      (error: unknown) => {
        this.#stopping = undefined;
        throw error;
      },
    );
    return this.#stopping;
  }

  #cannot<T>(operation: string, hint: string): Promise<T> {
    const object = `remote machine ${this.#id}`;
    return Promise.reject(new KataError("unsupported", { operation, object, hint }));
  }
}
