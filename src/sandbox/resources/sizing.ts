/**
 * How big a machine is: what the configuration gives every machine, plus what its containers are limited to.
 *
 * Three rules, chosen by the configuration:
 *
 * | rule | when | size |
 * |---|---|---|
 * | growing | the machine can be resized, and may be | `default_*` + the limits of each container that is there |
 * | static | `static_sandbox_resource_mgmt`, or a machine that cannot be resized | `default_*` + the limits of the whole pod |
 * | static with overhead | as above, and `overhead_*` is set | the pod's limits + `overhead_*`; `default_*` for a pod without |
 * | static with a default workload | as above, and `static_sandbox_default_workload_*` is set (AKS) | `default_*` + the pod's limits, or the default workload for a pod without |
 *
 * CPUs are rounded up once, at the end. Sources: upstream Kata Containers, sandbox sizing (Go and Rust runtimes); Kubernetes CRI,
 * annotations of containerd's CRI plug-in; AKS, "Considerations for Pod Sandboxing".
 */
import { KataError } from "../../kata-error.ts";
import type { Int64, LinuxResources, Spec } from "../../oci/types.ts";

export interface SizeDefaults {
  /** May have a fraction. 0 means one, less all CPUs of the host. */
  readonly vcpus: number;
  /** 0: as many as the host has. */
  readonly maxVcpus: number;
  readonly memoryMib: number;
  /** 0: as much as the host has. */
  readonly maxMemoryMib: number;
  /** The machine keeps the size that it boots with. */
  readonly isStatic: boolean;
  /** What the machine needs beside its pod's limits, by the static rule; 0: `vcpus` and `memoryMib` are added to them instead. */
  readonly overheadVcpus: number;
  readonly overheadMemoryMib: number;
  /** What a pod without limits is taken to need, by the static rule; 0: nothing. */
  readonly workloadVcpus: number;
  readonly workloadMemoryMib: number;
  /** A pod's limit on memory counts as at least this, by the static rule. */
  readonly workloadMinimumMib: number;
}

export interface HostSize {
  readonly cpus: number;
  readonly memoryMib: number;
}

export interface MachineSize {
  readonly vcpus: number;
  readonly memoryMib: number;
}

/** The sizes between which a machine lives. */
export interface SizeRange {
  readonly boot: MachineSize;
  /** Equal to `boot` for a machine that keeps its size. */
  readonly most: MachineSize;
}

/** What a container or pod may use at most. */
export interface Limits {
  /** CPUs, with a fraction; 0 without a limit. */
  readonly cpus: number;
  /** Bytes; 0 without a limit. */
  readonly memory: number;
}

/** A kernel and an agent need this much, MiB. Source: upstream's bound. */
const MIN_MEMORY_MIB = 64;
/** QEMU's q35 takes no more. */
const MAX_VCPUS = 255;
const MIB = 1 << 20;
/** CPU shares that stand for one CPU. Source: Kubernetes, MilliCPUToShares. */
const SHARES_PER_CPU = 1024;

/**
 * The size that a pod's machine boots with, and the most that it may grow to.
 *
 * @param spec of the pod's first container.
 * @param bootsAlike a machine that grows has the same size as every other at first, since all are clones of one.
 * @throws KataError `invalid-configuration` if the machine would be too small to boot.
 */
export function sizeRange(defaults: SizeDefaults, host: HostSize, spec: Spec, bootsAlike = false): SizeRange {
  const most = mostOf(defaults, host);
  const wanted = defaults.isStatic
    ? staticSize(defaults, host, podLimits(spec) ?? resourceLimits(spec.linux?.resources))
    : grownSize(defaults, host, bootsAlike ? [] : [resourceLimits(spec.linux?.resources)]);
  const boot = within(wanted, most);
  checkMemory(boot, host);
  return {
    boot,
    most: defaults.isStatic ? boot : { ...most, memoryMib: Math.max(most.memoryMib, boot.memoryMib) },
  };
}

/** The size for containers with these limits, by the growing rule; it may be more than the machine can have. */
export function grownSize(
  defaults: SizeDefaults,
  host: HostSize,
  containers: readonly Limits[],
): MachineSize {
  const { memoryMib: maxMemoryMib } = mostOf(defaults, host);
  let cpus = baseVcpus(defaults, host);
  let memoryMib = defaults.memoryMib;
  for (const limits of containers) {
    cpus += limits.cpus;
    memoryMib += memoryOf(limits, maxMemoryMib);
  }
  return { vcpus: wholeCpus(cpus), memoryMib };
}

/** The part of `wanted` that `most` leaves. */
export function within(wanted: MachineSize, most: MachineSize): MachineSize {
  return {
    vcpus: Math.min(wanted.vcpus, most.vcpus),
    memoryMib: Math.min(wanted.memoryMib, most.memoryMib),
  };
}

function staticSize(defaults: SizeDefaults, host: HostSize, limits: Limits): MachineSize {
  const { memoryMib: maxMemoryMib } = mostOf(defaults, host);
  const memory = memoryOf(limits, maxMemoryMib);
  return {
    vcpus: wholeCpus(staticVcpus(defaults, host, limits.cpus)),
    memoryMib: staticMemoryMib(defaults, memory),
  };
}

function staticVcpus(defaults: SizeDefaults, host: HostSize, limit: number): number {
  if (defaults.overheadVcpus > 0 && limit > 0) return limit + defaults.overheadVcpus;
  if (defaults.workloadVcpus <= 0) return baseVcpus(defaults, host) + limit;
  // A machine of the default workload alone: 0 is no CPU here.
  const base = defaults.vcpus === 0 ? 0 : baseVcpus(defaults, host);
  return base + (limit > 0 ? limit : defaults.workloadVcpus);
}

function staticMemoryMib(defaults: SizeDefaults, limitMib: number): number {
  if (defaults.overheadMemoryMib > 0 && limitMib > 0) return limitMib + defaults.overheadMemoryMib;
  const workload = limitMib > 0 ? limitMib : defaults.workloadMemoryMib;
  return defaults.memoryMib + (workload > 0 ? Math.max(workload, defaults.workloadMinimumMib) : 0);
}

/** CPUs of a machine without any container. */
function baseVcpus({ vcpus }: SizeDefaults, host: HostSize): number {
  if (vcpus > 0) return vcpus;
  return vcpus < 0 ? host.cpus : 1;
}

function mostOf(defaults: SizeDefaults, host: HostSize): MachineSize {
  const vcpus = Math.min(defaults.maxVcpus > 0 ? defaults.maxVcpus : host.cpus, host.cpus, MAX_VCPUS);
  const memoryMib = defaults.maxMemoryMib > 0 ? defaults.maxMemoryMib : host.memoryMib;
  return { vcpus, memoryMib: Math.max(memoryMib, defaults.memoryMib) };
}

/** MiB, rounded up; a limit above what a machine can have is none. */
function memoryOf({ memory }: Limits, maxMemoryMib: number): number {
  return memory / MIB > maxMemoryMib ? 0 : Math.ceil(memory / MIB);
}

/** Sums of fractions such as 0.1 + 0.2 must not cost a CPU. */
function wholeCpus(cpus: number): number {
  return Math.max(1, Math.ceil(Number(cpus.toFixed(6))));
}

function checkMemory({ memoryMib }: MachineSize, host: HostSize): void {
  if (memoryMib < MIN_MEMORY_MIB) {
    throw new KataError("invalid-configuration", {
      operation: "size virtual machine",
      object: `${memoryMib} MiB of memory`,
      hint: `set default_memory in configuration.toml to at least ${MIN_MEMORY_MIB}`,
    });
  }
  if (memoryMib > host.memoryMib) {
    throw new KataError("invalid-configuration", {
      operation: "size virtual machine",
      object: `${memoryMib} MiB of memory`,
      hint: `the host has ${host.memoryMib} MiB, lower default_memory in configuration.toml`,
    });
  }
}

const POD = "io.kubernetes.cri.sandbox-";

/** What the CRI says of the whole pod; undefined if this is no pod's first container. */
export function podLimits({ annotations = {} }: Spec): Limits | undefined {
  const value = (name: string) => {
    const text = annotations[`${POD}${name}`];
    return text !== undefined && /^-?\d{1,18}$/.test(text) ? Number(text) : undefined;
  };
  const [quota, period, shares] = [value("cpu-quota"), value("cpu-period"), value("cpu-shares")];
  const memory = value("memory");
  if (quota === undefined && period === undefined && memory === undefined) return undefined;
  return { cpus: cpuCount(quota, period, shares), memory: Math.max(memory ?? 0, 0) };
}

/** What a container may use by its specification. */
export function resourceLimits(resources: LinuxResources | undefined): Limits {
  const { cpu, memory } = resources ?? {};
  return {
    cpus: cpuCount(asNumber(cpu?.quota), asNumber(cpu?.period), asNumber(cpu?.shares)),
    memory: Math.max(asNumber(memory?.limit) ?? 0, 0),
  };
}

/** The kernel's period where none is given, µs. Source: Linux, Documentation/scheduler/sched-bwc.rst. */
const DEFAULT_PERIOD = 100_000;

/** The kubelet takes the quota from a container that has CPUs of its own: its shares tell how many. */
function cpuCount(quota = 0, period = 0, shares = 0): number {
  if (quota > 0) return quota / (period > 0 ? period : DEFAULT_PERIOD);
  return quota < 0 && shares >= SHARES_PER_CPU ? shares / SHARES_PER_CPU : 0;
}

/** Limits that leave room for either. */
export function larger(a: Limits, b: Limits): Limits {
  return { cpus: Math.max(a.cpus, b.cpus), memory: Math.max(a.memory, b.memory) };
}

function asNumber(value: Int64 | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

/** The limits that hold after an update, which may name some of them only. */
export function updatedLimits(before: LinuxResources, update: LinuxResources): LinuxResources {
  return {
    ...before,
    ...update,
    cpu: { ...before.cpu, ...update.cpu },
    memory: { ...before.memory, ...update.memory },
  };
}
