/**
 * How big a machine is: what the configuration gives every machine, plus what the pod is limited to.
 *
 * The machine is made as big as it will get at its start. Sources: upstream Kata Containers, sandbox sizing; Kubernetes CRI,
 * annotations of containerd's CRI plug-in.
 */
import { KataError } from "../../kata-error.ts";
import type { Int64, Spec } from "../../oci/types.ts";

export interface SizeDefaults {
  /** May have a fraction. 0 and less mean all CPUs of the host. */
  readonly vcpus: number;
  /** 0: as many as the host has. */
  readonly maxVcpus: number;
  readonly memoryMib: number;
  /** 0: as much as the host has. */
  readonly maxMemoryMib: number;
}

export interface HostSize {
  readonly cpus: number;
  readonly memoryMib: number;
}

export interface MachineSize {
  readonly vcpus: number;
  readonly maxVcpus: number;
  readonly memoryMib: number;
}

/** A kernel and an agent need this much, MiB. Source: upstream's bound. */
const MIN_MEMORY_MIB = 64;
/** QEMU's q35 takes no more. */
const MAX_VCPUS = 255;
const MIB = 1 << 20;

interface Limits {
  /** CPUs, with a fraction; 0 without a limit. */
  readonly cpus: number;
  /** Bytes; 0 without a limit. */
  readonly memory: number;
}

/** @throws KataError `invalid-configuration` if the machine would be too small to boot. */
export function machineSize(defaults: SizeDefaults, host: HostSize, spec: Spec): MachineSize {
  const limits = sandboxLimits(spec.annotations ?? {}) ?? containerLimits(spec);
  const maxVcpus = Math.min(defaults.maxVcpus > 0 ? defaults.maxVcpus : host.cpus, host.cpus, MAX_VCPUS);
  const base = defaults.vcpus > 0 ? defaults.vcpus : defaults.vcpus < 0 ? host.cpus : 1;
  const vcpus = clamp(Math.ceil(base + limits.cpus), 1, maxVcpus);
  const maxMemory = defaults.maxMemoryMib > 0 ? defaults.maxMemoryMib : host.memoryMib;
  // A limit above what the host has is none.
  const limit = limits.memory / MIB > maxMemory ? 0 : Math.ceil(limits.memory / MIB);
  const memoryMib = Math.min(defaults.memoryMib + limit, Math.max(maxMemory, defaults.memoryMib));
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
  return { vcpus, maxVcpus: vcpus, memoryMib };
}

/** What the CRI says of the whole pod; undefined if this is no pod's first container. */
function sandboxLimits(annotations: Readonly<Record<string, string>>): Limits | undefined {
  const value = (name: string) => {
    const text = annotations[`io.kubernetes.cri.sandbox-${name}`];
    return text !== undefined && /^-?\d{1,18}$/.test(text) ? Number(text) : undefined;
  };
  const [quota, period, memory] = [value("cpu-quota"), value("cpu-period"), value("memory")];
  if (quota === undefined && period === undefined && memory === undefined) return undefined;
  return { cpus: cpuCount(quota, period), memory: Math.max(memory ?? 0, 0) };
}

function containerLimits(spec: Spec): Limits {
  const { cpu, memory } = spec.linux?.resources ?? {};
  return {
    cpus: cpuCount(asNumber(cpu?.quota), asNumber(cpu?.period)),
    memory: Math.max(asNumber(memory?.limit) ?? 0, 0),
  };
}

function cpuCount(quota = 0, period = 0): number {
  return quota > 0 && period > 0 ? quota / period : 0;
}

function asNumber(value: Int64 | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

function clamp(value: number, lowest: number, highest: number): number {
  return Math.max(lowest, Math.min(value, highest));
}
