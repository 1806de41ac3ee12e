/**
 * What the shim and the command line see of a pod: a sandbox (one virtual machine) and the processes in it.
 *
 * Nothing here knows of containerd; nothing in the callers knows of a hypervisor.
 */
import type { Configuration } from "../config/index.ts";
import type { Spec } from "../oci/types.ts";
import type { CancelSignal } from "../sys/cancellation.ts";
import type { SandboxInsight } from "./sandbox-insight.ts";

/** A file system that makes up a root filesystem, as containerd hands it over. */
export interface RootfsMount {
  /** `overlay`, `bind`, `ext4`, `erofs`, … */
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}

export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export interface SandboxRequest {
  readonly id: string;
  readonly configuration: Configuration;
  /** Spec of the pod's first container: its annotations, network namespace and hostname are the sandbox's. */
  readonly spec: Spec;
  /** That container's bundle directory on the host. */
  readonly bundle: string;
  readonly logger: Logger;
  /** Fires when the caller gives up: all that was made is undone and the call fails. */
  readonly signal?: CancelSignal;
}

export interface ContainerRequest {
  readonly id: string;
  readonly bundle: string;
  readonly spec: Spec;
  /** Mounts of the root filesystem; empty if `spec.root.path` is already a filled directory. */
  readonly rootfs: readonly RootfsMount[];
}

export interface ExecRequest {
  readonly containerId: string;
  readonly execId: string;
  readonly process: NonNullable<Spec["process"]>;
}

/** One process of a container: `execId` is empty for its first. */
export interface ProcessAddress {
  readonly containerId: string;
  readonly execId: string;
}

/** A process of a container by its number in the guest. */
export interface GuestProcess {
  readonly pid: number;
  /** Empty for the first process and for what processes have started themselves. */
  readonly execId: string;
}

export type IpFamily = "ipv4" | "ipv6";

export type OutputStream = "stdout" | "stderr";

/** Why the virtual machine is no more; `expected` if {@link Sandbox.stop} asked for it. */
export interface SandboxExit {
  readonly expected: boolean;
  readonly reason: string;
}

/** How a process ended. */
export interface ProcessEnd {
  /** 0–255, 128 + signal. */
  readonly status: number;
  /** What it has written, if the guest tells that with the end. */
  readonly output?: LastOutput;
}

/** All of a process's streams, of which nobody has read anything; what is left out is to be read. */
export interface LastOutput {
  readonly stdout?: Uint8Array | undefined;
  readonly stderr?: Uint8Array | undefined;
}

/**
 * A running pod. Every method fails with a KataError; after the virtual machine is gone with code `unavailable`.
 */
export interface Sandbox {
  readonly id: string;
  /** Process of the virtual machine monitor on the host. */
  readonly hypervisorPid: number;
  /** For the tools of the host's administrator. */
  readonly insight: SandboxInsight;
  /** Settles once, when the virtual machine has ended, for whatever reason. Never rejects. */
  readonly exited: Promise<SandboxExit>;

  /** Creates the container, stopped before its program. All that was made is undone if it fails. */
  createContainer(request: ContainerRequest): Promise<void>;
  startContainer(id: string): Promise<void>;
  /** Ends what is left of the container and gives back its root filesystem and mounts. No error if it is not known. */
  removeContainer(id: string): Promise<void>;
  /** All processes of the container have ended, and none will follow: {@link stop} need not ask the guest to end any. */
  noteEnd(id: string): void;

  exec(request: ExecRequest): Promise<void>;
  /** @param all every process of the container. */
  signal(process: ProcessAddress, signal: number, all: boolean): Promise<void>;
  /**
   * How it ended, once it has.
   *
   * @param outputBytes that the answer may have of each stream; a stream that was read is not among them.
   */
  wait(process: ProcessAddress, outputBytes?: number): Promise<ProcessEnd>;

  /** Sends all of `bytes` to the process. */
  writeStdin(process: ProcessAddress, bytes: Uint8Array): Promise<void>;
  closeStdin(process: ProcessAddress): Promise<void>;
  /** The next bytes of a stream, at most `limit`; empty at its end. */
  readOutput(process: ProcessAddress, stream: OutputStream, limit: number): Promise<Uint8Array>;
  resizeTerminal(
    process: ProcessAddress,
    size: { readonly rows: number; readonly columns: number },
  ): Promise<void>;

  pause(containerId: string): Promise<void>;
  resume(containerId: string): Promise<void>;
  /** Limits of a running container, as in `linux.resources` of the spec. */
  update(containerId: string, resources: NonNullable<NonNullable<Spec["linux"]>["resources"]>): Promise<void>;
  stats(containerId: string): Promise<ContainerStatistics>;
  /** The container's processes in the guest, the first one first; empty if the guest's agent does not tell. */
  processes(containerId: string): Promise<readonly GuestProcess[]>;

  /** Gives the agent another policy, if the one in force lets it. @param policy Rego. */
  setPolicy(policy: string): Promise<void>;
  /** How full a volume of the pod is. @param path of the volume or its device on the host. @throws KataError `not-found`. */
  volumeStats(path: string): Promise<VolumeStatistics>;
  /** Lets a volume's file system grow to `bytes`, after its device has. @throws KataError `out-of-range` if that is smaller. */
  resizeVolume(path: string, bytes: bigint): Promise<void>;

  /** The guest's packet filter, as `iptables-save` writes it. @throws KataError `unimplemented` if its image has no such program. */
  packetFilter(family: IpFamily): Promise<Uint8Array>;
  /** Replaces it by `rules`, in the form of `iptables-restore`. @returns what that says. */
  setPacketFilter(family: IpFamily, rules: Uint8Array): Promise<Uint8Array>;

  /** Waits for the next out-of-memory kill; the id of the container it happened in. */
  nextOutOfMemory(): Promise<string>;

  /** Ends the virtual machine and gives back everything on the host, in reverse order. Any number of calls. */
  stop(): Promise<void>;
}

/** Source: Container Storage Interface, NodeGetVolumeStatsResponse. */
export interface VolumeStatistics {
  readonly usage: readonly {
    readonly unit: "bytes" | "inodes";
    readonly total: bigint;
    readonly available: bigint;
    readonly used: bigint;
  }[];
  readonly condition: { readonly abnormal: boolean; readonly message: string };
}

/** One reading of a container's counters; what the guest's kernel does not count is undefined. */
export interface ContainerStatistics {
  readonly cpu: {
    /** Nanoseconds. */
    readonly total: number;
    readonly user: number;
    readonly system: number;
    readonly perCpu: readonly number[];
    readonly periods: number;
    readonly throttledPeriods: number;
    /** Nanoseconds. */
    readonly throttledTime: number;
  };
  /** Bytes. */
  readonly memory: {
    readonly usage: number;
    readonly maximumUsage: number;
    readonly limit: number;
    readonly failures: number;
    readonly cache: number;
    readonly swapUsage: number;
    readonly swapLimit: number;
    readonly kernelUsage: number;
    /** The kernel's own counters, by their names in memory.stat. */
    readonly details: Readonly<Record<string, number>>;
  };
  readonly pids: { readonly current: number; readonly limit: number };
  readonly blockIo: {
    readonly serviceBytes: readonly BlockIoCounter[];
    readonly serviced: readonly BlockIoCounter[];
  };
  readonly hugePages: Readonly<
    Record<string, { readonly usage: number; readonly maximumUsage: number; readonly failures: number }>
  >;
  readonly network: readonly {
    readonly name: string;
    readonly receivedBytes: number;
    readonly receivedPackets: number;
    readonly receiveErrors: number;
    readonly receiveDropped: number;
    readonly sentBytes: number;
    readonly sentPackets: number;
    readonly sendErrors: number;
    readonly sendDropped: number;
  }[];
}

export interface BlockIoCounter {
  readonly major: number;
  readonly minor: number;
  /** `Read`, `Write`, … */
  readonly operation: string;
  readonly value: number;
}
