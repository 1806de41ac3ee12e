/**
 * What the sandbox knows of virtual machine monitors: one driver each, one machine each, and what they can do.
 *
 * Callers ask a machine for its {@link MachineCapabilities}, never for its driver's name.
 */
import type { ByteStream } from "../../sys/byte-stream.ts";
import type { CancelSignal } from "../../sys/cancellation.ts";
import type { Clock } from "../../sys/clock.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import type { SocketAddress } from "../../sys/socket.ts";
import type { MachineSize } from "../resources/sizing.ts";
import type { Logger } from "../types.ts";
import type { Accelerator } from "./accelerator.ts";
import type { DiskDevice, DiskTuning, ServedDiskDevice } from "./disk-device.ts";
import type { ExtensionImage } from "./extension-images.ts";
import type { HostCardDevice } from "./host-card.ts";
import type { MachineOptions } from "./machine-options.ts";
import type { MonitorUser } from "./monitor-user.ts";
import type { NetworkDevice } from "./network-device.ts";
import type { RemoteService } from "./remote/remote-service.ts";
import type { RunningProgram } from "./supervised-program.ts";
import type { VerityParameters } from "./verity-parameters.ts";

/** What may become of a running machine's CPUs or memory. */
export type Resizing = "fixed" | "grows" | "grows and shrinks";

export interface MachineCapabilities {
  readonly hotPlug: { readonly disk: boolean; readonly network: boolean };
  /** Whether host directories can be shared through a file server (virtio-fs). */
  readonly sharedDirectory: boolean;
  /** Whether the machine can be saved and cloned. */
  readonly template: boolean;
  readonly resize: { readonly vcpus: Resizing; readonly memory: Resizing };
}

/** How a monitor reaches a file server (vhost-user). */
export type FileServerSocket =
  /** A descriptor, connected to it; the machine takes a copy. */
  | { readonly kind: "connected"; readonly descriptor: number }
  /** The path that it listens at. */
  | { readonly kind: "listening"; readonly path: string };

/** A host directory in the guest, served by a file server. */
export interface SharedDirectoryDevice {
  readonly kind: "shared-directory";
  readonly id: string;
  /** The name by which the guest mounts it. */
  readonly tag: string;
  readonly socket: FileServerSocket;
  /** Requests under way at most; a power of two. */
  readonly queueSize: number;
}

/** What a machine can be started with. */
export type StartDevice = DiskDevice | NetworkDevice | SharedDirectoryDevice;

/** What can be plugged into one. */
export type Device = StartDevice | ServedDiskDevice | HostCardDevice;

/** Where the guest finds a device. */
export type AttachedDevice =
  /** Slot numbers from the root bus down, two hexadecimal digits each, `02/00`. */
  | { readonly pciPath: string }
  /** `ID:LUN` behind the machine's SCSI controller. */
  | { readonly scsi: string }
  /** A node that was there before, `/dev/vdb`, whose disk has this size as soon as the guest has noticed. */
  | { readonly node: string; readonly bytes: bigint };

/** Root filesystem of the guest: an archive in memory, or a disk. */
export type GuestRoot =
  | { readonly kind: "initrd"; readonly path: string }
  | {
      readonly kind: "image";
      readonly path: string;
      readonly filesystem: string;
      /** What the kernel checks each block of it by. */
      readonly verity?: VerityParameters;
      /** The archive that opens it, for kernels that do not do so by themselves. */
      readonly initrd?: string;
    };

/** A part of the machine whose CPUs and memory are near to each other. */
export interface NumaNode {
  /** The host's nodes that its memory is on. */
  readonly hostNodes: readonly number[];
  readonly firstVcpu: number;
  readonly lastVcpu: number;
  readonly memoryMib: number;
}

/** How memory comes to a running machine. */
export type MemoryGrowth =
  /** In modules: as many as there are slots. */
  | { readonly kind: "modules"; readonly slots: number; readonly maxMemoryMib: number }
  /** By a virtio-mem device, which gives and takes it in small pieces. */
  | { readonly kind: "virtio-mem"; readonly maxMemoryMib: number };

/** How a machine's memory is kept from the host. Measured fields are base64. */
export type ConfidentialGuest =
  | {
      readonly kind: "sev-snp";
      /** Position of the encryption bit in page tables: CPUID Fn8000_001F, EBX 5:0. */
      readonly encryptionBit: number;
      readonly policy: number;
      /** Empty for none. */
      readonly idBlock: string;
      readonly idAuthentication: string;
      /** What stands for the initdata: see `hostData` of src/policy/initdata. */
      readonly hostData: string;
      /** File with all that the guest boots, measured as a whole; empty where the monitor is given firmware and kernel. */
      readonly igvm: string;
    }
  /** The mainframe's: the kernel's file has all that the guest boots, encrypted for its processor. */
  | { readonly kind: "secure-execution" }
  | {
      readonly kind: "tdx";
      /** The same. */
      readonly configurationId: string;
      readonly quoteService:
        | { readonly kind: "unix"; readonly path: string }
        | { readonly kind: "vsock"; readonly port: number };
    };

/** A machine to be booted. All paths are absolute. */
export interface MachineSpec {
  /** The sandbox's id. */
  readonly id: string;
  /** The monitor's program. */
  readonly program: string;
  readonly accelerator: Accelerator;
  /** The monitor's name for the board: `q35`, `microvm`, … */
  readonly machineType: string;
  /** More options of the board, `name=value` with commas between. */
  readonly machineOptions: string;
  /** Options for the CPU model, such as `pmu=off`; only with hardware virtualization. */
  readonly cpuFeatures: string;
  /** The machine's firmware; empty for the monitor's own. */
  readonly firmware: string;
  /** Undefined for a machine that trusts its host. */
  readonly confidential?: ConfidentialGuest | undefined;
  readonly kernel: string;
  readonly root: GuestRoot;
  /** Disks that extend the root; of monitors that give disks serial numbers. */
  readonly extensions?: readonly ExtensionImage[];
  /** Parameters that come after the driver's own, and win. */
  readonly kernelParameters: string;
  /** Debug output of guest and monitor. */
  readonly debug: boolean;
  readonly vcpus: number;
  /** More than `vcpus`: the others can be plugged in. */
  readonly maxVcpus: number;
  readonly memoryMib: number;
  /** Absent: the machine keeps the memory that it boots with. */
  readonly memoryGrowth?: MemoryGrowth | undefined;
  /** Absent: CPUs and memory are all alike. Together they have all of both. */
  readonly numaNodes?: readonly NumaNode[] | undefined;
  readonly hugePages: boolean;
  readonly preallocateMemory: boolean;
  /** Gives memory that the guest has freed back to the host. */
  readonly reclaimMemory: boolean;
  /** Slots kept free for devices that are plugged in later. */
  readonly hotPlugSlots: number;
  /** Device file that the guest's randomness comes from; empty for none. */
  readonly entropySource: string;
  readonly devices: readonly StartDevice[];
  /** File of the network namespace to run in; undefined: a new one without any interface. */
  readonly networkNamespace: string | undefined;
  /** Directory of the sandbox, for sockets of the monitor. */
  readonly runDirectory: string;
  /** Directories of cgroups that the monitor starts in. */
  readonly cgroups: readonly string[];
  /** Who makes it, for one that runs somewhere else, and what that one is told of it. */
  readonly remote?:
    | { readonly service: RemoteService; readonly annotations: ReadonlyMap<string, string> }
    | undefined;
  /** Who the monitor runs as; absent: as root. */
  readonly user?: MonitorUser | undefined;
  /** What an operator may ask for beside all that; absent: nothing of it. */
  readonly options?: MachineOptions;
  /** Program that confines the monitor, where it has one of its own; absent or empty: it runs unconfined. */
  readonly jailer?: string;
  /** Whether the monitor runs without its own filter of system calls. */
  readonly withoutSeccomp?: boolean;
  /** How disks that come later are read and written, for a monitor that fixes it at the start. */
  readonly diskTuning?: DiskTuning;
  /** What the machine's disks and cards may do; absent without limits. */
  readonly rates?: MachineRates;
}

/** Limits of each disk and each card of a machine. */
export interface MachineRates {
  readonly disk: DiskRates;
  /** Bits per second of a card; 0 is without limit. */
  readonly network: { readonly received: number; readonly sent: number };
}

/** Of one disk; 0 is without limit. */
export interface DiskRates {
  /** Bits per second, and bits beyond that once. */
  readonly bandwidth: number;
  readonly bandwidthBurst: number;
  /** Operations per second, and operations beyond that once. */
  readonly operations: number;
  readonly operationsBurst: number;
}

/** Where a machine's memory and state come from. Descriptors stay the caller's. */
export type MachineOrigin =
  /** Nowhere: its kernel boots. */
  | { readonly kind: "boot" }
  /** Its kernel boots, in memory that lasts: the file of `memory`, as large as the machine's. */
  | { readonly kind: "template"; readonly memory: number }
  /** A machine that was saved goes on: `memory` is its own from now on, `state` what {@link VirtualMachine.save} wrote. */
  | {
      readonly kind: "saved";
      readonly memory: number;
      readonly state: number;
      /** Settles when `memory` has its content; the machine's process is started meanwhile. */
      readonly memoryReady: Promise<void>;
    };

export interface MachineContext {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Fires when the start is given up. */
  readonly signal?: CancelSignal | undefined;
}

/** Why a machine is no more. */
export interface MachineExit {
  readonly reason: string;
}

/** How the agent in the guest is reached. */
export type AgentChannel =
  /** One stream for all, open from the start (virtio-serial). */
  | { readonly kind: "stream"; readonly stream: ByteStream; readonly descriptor?: number }
  | { readonly kind: "vsock"; readonly cid: number; readonly port: number }
  /** A unix socket of the monitor, on which one asks for a port. */
  | { readonly kind: "hybrid-vsock"; readonly path: string; readonly port: number }
  /** A socket of this host whose connections lead to the agent. */
  | { readonly kind: "socket"; readonly address: SocketAddress };

/** A running virtual machine. Methods fail with a KataError; after its end with code `unavailable`. */
export interface VirtualMachine {
  readonly pid: number;
  readonly capabilities: MachineCapabilities;
  readonly agentChannel: AgentChannel;
  /** Settles once, when the monitor's process has ended. Never rejects. */
  readonly exited: Promise<MachineExit>;
  /** Nobody tells of the machine's end unless it is stopped from here: the agent has to be asked whether it is there. */
  readonly endsUnnoticed?: true;
  /** The last lines of the guest's console and of the monitor's own output: the evidence after a failure. */
  lastOutput(): string;
  /** The last lines of the guest's console, oldest first; absent where nobody reads it. */
  consoleLines?(): readonly string[];
  /** Plugs a device in; nothing is left of it if that fails. */
  attach(device: Device): Promise<AttachedDevice>;
  /** Takes a device out; waits for the guest to let go of it. */
  detach(id: string): Promise<void>;
  /** Tells the guest that the file or block device under disk `id` has grown to `bytes`. */
  resizeDisk(id: string, bytes: bigint): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /**
   * Writes everything but the memory into `state`, a file's descriptor, and stops the machine for good: its memory is the rest.
   *
   * @throws KataError `unsupported` unless the machine's origin is `template`.
   */
  save(state: number): Promise<void>;
  /** Threads of the host that run the machine's CPUs, in the order of the CPUs. */
  vcpuThreads(): Promise<readonly number[]>;
  /** The size that it has now. */
  readonly size: MachineSize;
  /**
   * Makes the machine larger or smaller, as far as its capabilities go; one call at a time. The guest has taken note of what
   * is new, but may have to set it online.
   *
   * @param target neither more than the machine's maximum, nor less than what it booted with.
   * @param memoryBlockMib piece in which the guest takes memory; what is asked for is rounded up to it.
   * @returns the size that it has then: what the guest does not let go of stays.
   * @throws KataError `resource-exhausted`, `hypervisor-error` or `deadline-exceeded` if it cannot grow; it is as it was then.
   */
  resize(target: MachineSize, memoryBlockMib: number): Promise<MachineSize>;
  /**
   * Gives the machine away: the result is all that another process needs to go on with it, and this object is of no use any more.
   * Nothing may be under way.
   *
   * Absent if the monitor cannot be passed on.
   *
   * @throws KataError `unsupported` if the agent is not reached by a stream.
   */
  handOver?(): MachineHandles;
  /** Ends the monitor, gently for a moment, then by force. Any number of calls. */
  stop(): Promise<void>;
  /**
   * Ends the monitor by force, at once: nothing that it still holds is wanted. {@link stop} waits for its end.
   *
   * Absent if it can only be asked.
   */
  kill?(): void;
}

/** A machine between two processes; the descriptors are the holder's. */
export interface MachineHandles {
  readonly monitor: FileDescriptor;
  readonly console: FileDescriptor;
  readonly agent: FileDescriptor;
  /** A pidfd of the monitor. */
  readonly process: FileDescriptor;
  readonly monitorVersion: string;
  /** Ids of the devices that were plugged in, in this order. */
  readonly plugged: readonly string[];
}

/** What is known of a monitor before it is asked for a machine. */
export interface HypervisorTraits {
  /** For messages: `QEMU`. */
  readonly name: string;
  /** Which kind of socket a shared directory needs to be given with. */
  readonly fileServerIs: FileServerSocket["kind"];
  /** Its machines run on other hosts: there is no process of them here, and the pod's network is left to the one who makes them. */
  readonly isElsewhere?: true;
  /** Whether it opens taps by their names in the network namespace that it runs in, instead of taking descriptors. */
  readonly tapsByName?: boolean;
  /** Whether it limits the rates of network cards itself, by {@link MachineSpec.rates}; otherwise the host's kernel does. */
  readonly limitsCards?: boolean;
  /** Whether a machine that goes on copies the memory that it is given: the file stays as it is, so that it may be the template's. */
  readonly copiesSavedMemory?: boolean;
  /** Whether its disks have serial numbers that it is told. */
  readonly namesDisks?: boolean;
  /** Whether its machines keep the size that they boot with. */
  readonly fixedSize?: boolean;
}

export interface Hypervisor extends HypervisorTraits {
  /**
   * Starts a machine; its guest boots while the promise settles. One that was saved runs when it does.
   *
   * @throws KataError that says what is missing, or with the monitor's own words; nothing is left running.
   */
  boot(spec: MachineSpec, context: MachineContext, origin?: MachineOrigin): Promise<VirtualMachine>;
  /** Goes on with a machine that another process has started with `spec`, whose monitor is `program`. */
  adopt?(
    spec: MachineSpec,
    program: RunningProgram,
    handles: Omit<MachineHandles, "process">,
    context: MachineContext,
  ): VirtualMachine;
  /**
   * Everything that a saved machine of `spec` depends on, as text: the monitor, its whole command line, the files that it was
   * booted from, the processor. A clone of a machine with another text may hang.
   *
   * @returns the reason, if machines of this kind cannot be saved.
   */
  fingerprint(spec: MachineSpec): Promise<MachineFingerprint>;
}

export type MachineFingerprint =
  | { readonly kind: "fingerprint"; readonly text: string }
  | { readonly kind: "unsupported"; readonly reason: string };
