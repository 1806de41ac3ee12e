/**
 * A container as its `config.json` describes it.
 *
 * The names are the file's own. Sections of other platforms (solaris, windows, vm, zos, freebsd) are not for a Linux
 * runtime and left out. Values are immutable: whoever changes a spec makes another one.
 *
 * The agent applies every field, but for these:
 *
 * | field | what becomes of it |
 * |---|---|
 * | network, cgroup, time namespaces; paths of namespaces | the host takes them out: its namespaces are not in the machine; the agent refuses paths and time |
 * | prestart, createRuntime, createContainer, poststart, poststop hooks | the host's to run; the agent runs those that it gets |
 * | netDevices, memoryPolicy, timeOffsets, intelRdt | the host takes them out; the agent refuses them |
 * | execCPUAffinity, cpus, mems, rdma, network, devices' numbers | the host takes them out: they count what the host has |
 * | resources.unified | goes to the guest for memory, cpu, pids, hugetlb; a guest with cgroup v1 refuses it |
 * | kernel, kernelTCP, swappiness, disableOOMKiller, real-time CPU, leaf weights | cgroup v1 only, as the kernel has them |
 * | apparmorProfile | the host takes it out: its profile is not in the guest; the agent refuses one that the kernel has not |
 * | SCMP_ACT_NOTIFY, listenerPath | refused: the listener is a program of the host's |
 * | hostname, domainname of a container that shares the pod's UTS namespace | the pod's |
 * | user.username | not used on Linux |
 *
 * Source: OCI runtime specification 1.3, "Configuration" and "Linux Container Configuration".
 */

/** A 64-bit integer: a number while that is exact, a bigint beyond 2^53. */
export type Int64 = number | bigint;

export interface Spec {
  readonly ociVersion: string;
  readonly root?: Root;
  readonly process?: Process;
  /** In the order in which they are mounted. */
  readonly mounts?: readonly Mount[];
  readonly hostname?: string;
  readonly domainname?: string;
  readonly hooks?: Hooks;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly linux?: Linux;
}

export interface Root {
  /** Absolute, or relative to the bundle. */
  readonly path: string;
  readonly readonly?: boolean;
}

export interface Process {
  /** Gets a pseudo terminal as its standard streams. */
  readonly terminal?: boolean;
  /** Only with `terminal`. */
  readonly consoleSize?: ConsoleSize;
  readonly user: User;
  /** Absent in a spec that is never started. `args[0]` is looked up in the PATH of `env`. */
  readonly args?: readonly string[];
  /** `NAME=value`. */
  readonly env?: readonly string[];
  /** Absolute. */
  readonly cwd: string;
  readonly capabilities?: LinuxCapabilities;
  readonly rlimits?: readonly PosixRlimit[];
  readonly noNewPrivileges?: boolean;
  readonly apparmorProfile?: string;
  readonly oomScoreAdj?: number;
  readonly selinuxLabel?: string;
  readonly scheduler?: Scheduler;
  readonly ioPriority?: LinuxIoPriority;
  readonly execCPUAffinity?: CpuAffinity;
}

/** Characters. */
export interface ConsoleSize {
  readonly height: number;
  readonly width: number;
}

export interface User {
  readonly uid: number;
  readonly gid: number;
  readonly umask?: number;
  readonly additionalGids?: readonly number[];
  readonly username?: string;
}

/** `CAP_*` names. */
export interface LinuxCapabilities {
  readonly bounding?: readonly string[];
  readonly effective?: readonly string[];
  readonly inheritable?: readonly string[];
  readonly permitted?: readonly string[];
  readonly ambient?: readonly string[];
}

export interface PosixRlimit {
  /** `RLIMIT_*`. */
  readonly type: string;
  readonly soft: Int64;
  readonly hard: Int64;
}

export type SchedulerPolicy =
  | "SCHED_OTHER"
  | "SCHED_FIFO"
  | "SCHED_RR"
  | "SCHED_BATCH"
  | "SCHED_ISO"
  | "SCHED_IDLE"
  | "SCHED_DEADLINE";

export type SchedulerFlag =
  | "SCHED_FLAG_RESET_ON_FORK"
  | "SCHED_FLAG_RECLAIM"
  | "SCHED_FLAG_DL_OVERRUN"
  | "SCHED_FLAG_KEEP_POLICY"
  | "SCHED_FLAG_KEEP_PARAMS"
  | "SCHED_FLAG_UTIL_CLAMP_MIN"
  | "SCHED_FLAG_UTIL_CLAMP_MAX";

export interface Scheduler {
  readonly policy: SchedulerPolicy;
  readonly nice?: number;
  readonly priority?: number;
  readonly flags?: readonly SchedulerFlag[];
  /** Nanoseconds, as the next two. */
  readonly runtime?: Int64;
  readonly deadline?: Int64;
  readonly period?: Int64;
}

export interface LinuxIoPriority {
  readonly class: "IOPRIO_CLASS_RT" | "IOPRIO_CLASS_BE" | "IOPRIO_CLASS_IDLE";
  /** 0 (first) to 7. */
  readonly priority?: number;
}

/** CPU lists, such as `0-3,7`, for processes that join a container. */
export interface CpuAffinity {
  readonly initial?: string;
  readonly final?: string;
}

export interface Mount {
  /** A path in the container. */
  readonly destination: string;
  readonly type?: string;
  readonly source?: string;
  readonly options?: readonly string[];
  /** For an id-mapped mount; both or none. */
  readonly uidMappings?: readonly LinuxIdMapping[];
  readonly gidMappings?: readonly LinuxIdMapping[];
}

export interface Hook {
  /** Absolute. */
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** Seconds. */
  readonly timeout?: number;
}

export interface Hooks {
  readonly prestart?: readonly Hook[];
  readonly createRuntime?: readonly Hook[];
  readonly createContainer?: readonly Hook[];
  readonly startContainer?: readonly Hook[];
  readonly poststart?: readonly Hook[];
  readonly poststop?: readonly Hook[];
}

export interface Linux {
  readonly uidMappings?: readonly LinuxIdMapping[];
  readonly gidMappings?: readonly LinuxIdMapping[];
  /** Name (`net.ipv4.ip_forward`) to value. */
  readonly sysctl?: Readonly<Record<string, string>>;
  readonly resources?: LinuxResources;
  /** A path below the cgroup mount, or systemd's `slice:prefix:name`. */
  readonly cgroupsPath?: string;
  readonly namespaces?: readonly Namespace[];
  readonly devices?: readonly LinuxDevice[];
  /** Interface of the runtime's network namespace to its name in the container's. */
  readonly netDevices?: Readonly<Record<string, LinuxNetDevice>>;
  readonly seccomp?: LinuxSeccomp;
  /** `shared`, `slave`, `private`, `unbindable`, or one of them with a leading `r`. */
  readonly rootfsPropagation?: string;
  /** Absolute. */
  readonly maskedPaths?: readonly string[];
  /** Absolute. */
  readonly readonlyPaths?: readonly string[];
  readonly mountLabel?: string;
  readonly intelRdt?: LinuxIntelRdt;
  readonly memoryPolicy?: LinuxMemoryPolicy;
  readonly personality?: LinuxPersonality;
  readonly timeOffsets?: LinuxTimeOffsets;
}

export interface LinuxIdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

export type NamespaceType = "mount" | "pid" | "network" | "uts" | "ipc" | "user" | "cgroup" | "time";

export interface Namespace {
  readonly type: NamespaceType;
  /** A namespace to join; a new one is made without it. */
  readonly path?: string;
}

export interface LinuxDevice {
  /** Block, character, unbuffered character, fifo. */
  readonly type: "b" | "c" | "u" | "p";
  /** Absolute. */
  readonly path: string;
  readonly major?: number;
  readonly minor?: number;
  readonly fileMode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

export interface LinuxNetDevice {
  readonly name?: string;
}

export interface LinuxTimeOffsets {
  readonly monotonic?: LinuxTimeOffset;
  readonly boottime?: LinuxTimeOffset;
}

export interface LinuxTimeOffset {
  readonly secs?: Int64;
  readonly nanosecs?: number;
}

export interface LinuxPersonality {
  readonly domain?: "LINUX" | "LINUX32";
  readonly flags?: readonly string[];
}

export type MemoryPolicyMode =
  | "MPOL_DEFAULT"
  | "MPOL_BIND"
  | "MPOL_INTERLEAVE"
  | "MPOL_WEIGHTED_INTERLEAVE"
  | "MPOL_PREFERRED"
  | "MPOL_PREFERRED_MANY"
  | "MPOL_LOCAL";

export interface LinuxMemoryPolicy {
  readonly mode?: MemoryPolicyMode;
  readonly nodes?: string;
  readonly flags?: readonly ("MPOL_F_NUMA_BALANCING" | "MPOL_F_RELATIVE_NODES" | "MPOL_F_STATIC_NODES")[];
}

export interface LinuxIntelRdt {
  readonly closID?: string;
  readonly schemata?: readonly string[];
  readonly l3CacheSchema?: string;
  readonly memBwSchema?: string;
  readonly enableMonitoring?: boolean;
}

/** What a container may use. An absent limit is left as it is. */
export interface LinuxResources {
  /** In order: a later rule decides over an earlier one. */
  readonly devices?: readonly LinuxDeviceCgroup[];
  readonly memory?: LinuxMemory;
  readonly cpu?: LinuxCpu;
  readonly pids?: LinuxPids;
  readonly blockIO?: LinuxBlockIo;
  readonly hugepageLimits?: readonly LinuxHugepageLimit[];
  readonly network?: LinuxNetwork;
  /** Device to limits. */
  readonly rdma?: Readonly<Record<string, LinuxRdma>>;
  /** File of the unified hierarchy to what is written there. */
  readonly unified?: Readonly<Record<string, string>>;
}

export interface LinuxDeviceCgroup {
  readonly allow: boolean;
  /** `a` (all), `b` or `c`; all if absent. */
  readonly type?: string;
  /** Any if absent. */
  readonly major?: number;
  /** Any if absent. */
  readonly minor?: number;
  /** Some of `rwm`; all if absent. */
  readonly access?: string;
}

/** Bytes; -1 is unlimited. */
export interface LinuxMemory {
  readonly limit?: Int64;
  readonly reservation?: Int64;
  /** Memory and swap together. */
  readonly swap?: Int64;
  readonly kernel?: Int64;
  readonly kernelTCP?: Int64;
  /** 0 to 100; the kernel takes 200. */
  readonly swappiness?: Int64;
  readonly disableOOMKiller?: boolean;
  readonly useHierarchy?: boolean;
  readonly checkBeforeUpdate?: boolean;
}

/** Times in microseconds. */
export interface LinuxCpu {
  /** 2 to 262144; 1024 is the share of an ordinary group. */
  readonly shares?: Int64;
  /** -1 is unlimited. */
  readonly quota?: Int64;
  readonly burst?: Int64;
  readonly period?: Int64;
  readonly realtimeRuntime?: Int64;
  readonly realtimePeriod?: Int64;
  /** A list such as `0-3,7`. */
  readonly cpus?: string;
  /** A list such as `0-1`. */
  readonly mems?: string;
  readonly idle?: Int64;
}

export interface LinuxPids {
  /** -1 is unlimited. */
  readonly limit: Int64;
}

export interface LinuxBlockIo {
  /** 10 to 1000. */
  readonly weight?: number;
  readonly leafWeight?: number;
  readonly weightDevice?: readonly LinuxWeightDevice[];
  /** Bytes a second. */
  readonly throttleReadBpsDevice?: readonly LinuxThrottleDevice[];
  /** Bytes a second. */
  readonly throttleWriteBpsDevice?: readonly LinuxThrottleDevice[];
  /** Operations a second. */
  readonly throttleReadIOPSDevice?: readonly LinuxThrottleDevice[];
  /** Operations a second. */
  readonly throttleWriteIOPSDevice?: readonly LinuxThrottleDevice[];
}

export interface LinuxWeightDevice {
  readonly major: number;
  readonly minor: number;
  readonly weight?: number;
  readonly leafWeight?: number;
}

export interface LinuxThrottleDevice {
  readonly major: number;
  readonly minor: number;
  readonly rate?: Int64;
}

export interface LinuxHugepageLimit {
  /** `64KB`, `2MB`, `1GB`. */
  readonly pageSize: string;
  /** Bytes. */
  readonly limit: Int64;
}

export interface LinuxNetwork {
  readonly classID?: number;
  readonly priorities?: readonly LinuxInterfacePriority[];
}

export interface LinuxInterfacePriority {
  readonly name: string;
  readonly priority: number;
}

export interface LinuxRdma {
  readonly hcaHandles?: number;
  readonly hcaObjects?: number;
}

export type SeccompAction =
  | "SCMP_ACT_KILL"
  | "SCMP_ACT_KILL_PROCESS"
  | "SCMP_ACT_KILL_THREAD"
  | "SCMP_ACT_TRAP"
  | "SCMP_ACT_ERRNO"
  | "SCMP_ACT_TRACE"
  | "SCMP_ACT_ALLOW"
  | "SCMP_ACT_LOG"
  | "SCMP_ACT_NOTIFY";

export type SeccompOperator =
  | "SCMP_CMP_NE"
  | "SCMP_CMP_LT"
  | "SCMP_CMP_LE"
  | "SCMP_CMP_EQ"
  | "SCMP_CMP_GE"
  | "SCMP_CMP_GT"
  | "SCMP_CMP_MASKED_EQ";

export interface LinuxSeccomp {
  readonly defaultAction: SeccompAction;
  readonly defaultErrnoRet?: number;
  /** `SCMP_ARCH_*`, beside the machine's own, which is always meant. */
  readonly architectures?: readonly string[];
  /** `SECCOMP_FILTER_FLAG_*`. */
  readonly flags?: readonly string[];
  readonly listenerPath?: string;
  readonly listenerMetadata?: string;
  readonly syscalls?: readonly LinuxSyscall[];
}

export interface LinuxSyscall {
  /** At least one; names that an architecture does not have are passed over. */
  readonly names: readonly string[];
  readonly action: SeccompAction;
  /** Only with `SCMP_ACT_ERRNO` and `SCMP_ACT_TRACE`; EPERM if absent. */
  readonly errnoRet?: number;
  /** All of them must hold. */
  readonly args?: readonly LinuxSeccompArg[];
}

export interface LinuxSeccompArg {
  /** 0 to 5. */
  readonly index: number;
  /** The mask for `SCMP_CMP_MASKED_EQ`. */
  readonly value: Int64;
  /** What the masked argument is compared with. */
  readonly valueTwo?: Int64;
  readonly op: SeccompOperator;
}
