/**
 * What is left of a host's spec for the guest.
 *
 * A spec names things of the host: its namespaces, devices, CPUs, programs. None of them is in the virtual machine, so
 * they are taken out before the spec goes there. Limits on memory, CPU time, processes and huge pages stay: they hold in the
 * guest, between the containers of a pod.
 *
 * Mounts, devices and the root filesystem are translated by those who bring them into the guest.
 */
import type {
  Hooks,
  Linux,
  LinuxCpu,
  LinuxDevice,
  LinuxDeviceCgroup,
  LinuxResources,
  Namespace,
  NamespaceType,
  Process,
  Spec,
} from "./types.ts";

export interface GuestConstraints {
  /** The guest can filter system calls, and is meant to. */
  readonly seccomp: boolean;
  /** What is done with SELinux labels: kept, the process's with a type of the guest's policy, or dropped. */
  readonly selinux: { readonly kind: "drop" } | { readonly kind: "type"; readonly type: string };
  /** Devices below /dev/vfio belong to the guest's own drivers, and are no nodes in the container. */
  readonly guestKernelOwnsVfio: boolean;
}

/**
 * The guest's network is the machine's; its cgroup namespace is the agent's to make; its clocks are its own. A container always
 * has a pid namespace, its own or the pod's, as the request says beside the specification.
 */
const HOST_NAMESPACES: ReadonlySet<NamespaceType> = new Set(["network", "cgroup", "time", "pid"]);

/** The spec that the agent gets. `spec` itself is not changed. */
export function constrainSpec(spec: Spec, constraints: GuestConstraints): Spec {
  const { hooks, process, linux, annotations, ...rest } = spec;
  return {
    ...rest,
    ...(annotations === undefined ? {} : { annotations: withoutOwnerData(annotations) }),
    ...(process === undefined ? {} : { process: constrainProcess(process, constraints) }),
    ...(linux === undefined ? {} : { linux: constrainLinux(linux, constraints) }),
    ...keptHooks(hooks),
  };
}

/** What carries policy and initdata is for the runtime, and as long as all the rest. Source: upstream's runtime. */
const OWNER_ANNOTATIONS = new Set([
  "io.katacontainers.config.agent.policy",
  "io.katacontainers.config.hypervisor.cc_init_data",
]);

function withoutOwnerData(annotations: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => !OWNER_ANNOTATIONS.has(name)));
}

/** A process that joins a container, for the guest. */
export function constrainProcess(process: Process, constraints: GuestConstraints): Process {
  // The host's profile is not loaded in the guest, and an exec with a profile that is not there fails; CPUs are numbered by
  // the host.
  const { selinuxLabel, apparmorProfile, execCPUAffinity, ...rest } = process;
  const label = constrainLabel(selinuxLabel, constraints);
  return label === undefined ? rest : { ...rest, selinuxLabel: label };
}

/** All hooks are the host's programs, run there by the runtime. */
function keptHooks(hooks: Hooks | undefined): { readonly hooks?: Hooks } {
  const inContainer = hooks?.startContainer ?? [];
  // This one is resolved in the container's own root, which only the guest has.
  return inContainer.length === 0 ? {} : { hooks: { startContainer: inContainer } };
}

function constrainLabel(label: string | undefined, { selinux }: GuestConstraints): string | undefined {
  if (label === undefined || label === "" || selinux.kind === "drop") return undefined;
  const [user, role, , ...level] = label.split(":");
  return [user, role, selinux.type, ...level].join(":");
}

function constrainLinux(linux: Linux, constraints: GuestConstraints): Linux {
  const {
    seccomp,
    mountLabel,
    resources,
    namespaces,
    devices,
    netDevices,
    timeOffsets,
    memoryPolicy,
    intelRdt,
    ...rest
  } = linux;
  return {
    ...rest,
    ...(seccomp === undefined || !constraints.seccomp ? {} : { seccomp }),
    ...(mountLabel === undefined || constraints.selinux.kind === "drop" ? {} : { mountLabel }),
    ...(resources === undefined ? {} : { resources: constrainResources(resources) }),
    ...(namespaces === undefined ? {} : { namespaces: constrainNamespaces(namespaces) }),
    ...(devices === undefined ? {} : { devices: constrainDevices(devices, constraints) }),
  };
}

function constrainNamespaces(namespaces: readonly Namespace[]): Namespace[] {
  return namespaces.filter(({ type }) => !HOST_NAMESPACES.has(type)).map(({ type }) => ({ type }));
}

function constrainDevices(
  devices: readonly LinuxDevice[],
  { guestKernelOwnsVfio }: GuestConstraints,
): LinuxDevice[] {
  return devices.filter(({ path }) => !(guestKernelOwnsVfio && path.startsWith("/dev/vfio/")));
}

/** Limits for the guest, at the start of a container and when they are changed. */
export function constrainResources(resources: LinuxResources): LinuxResources {
  // Traffic classes and RDMA devices are the host's.
  const { devices, cpu, blockIO, network, rdma, unified, ...rest } = resources;
  const kept = keptDeviceRules(devices ?? []);
  const files = Object.entries(unified ?? {}).filter(([file]) => GUEST_CONTROLLERS.test(file));
  return {
    ...rest,
    ...(kept.length === 0 ? {} : { devices: kept }),
    ...(cpu === undefined ? {} : { cpu: constrainCpu(cpu) }),
    ...(files.length === 0 ? {} : { unified: Object.fromEntries(files) }),
    // Weights are between the pod's containers; the devices with limits of their own are the host's.
    ...(blockIO?.weight === undefined ? {} : { blockIO: { weight: blockIO.weight } }),
  };
}

/** Files of the unified hierarchy that name neither a CPU nor a device of the host's. */
const GUEST_CONTROLLERS = /^(memory|cpu|pids|hugetlb)\./;

/** CPUs and memory nodes are numbered by the host. */
function constrainCpu({ cpus, mems, ...rest }: LinuxCpu): LinuxCpu {
  return rest;
}

/**
 * Rules that name no device hold anywhere: "nothing", "everything" of a privileged container. A number is another device in
 * the guest, where the agent adds the container's own devices by their numbers there.
 */
function keptDeviceRules(rules: readonly LinuxDeviceCgroup[]): LinuxDeviceCgroup[] {
  return rules.filter(({ major, minor }) => (major ?? -1) < 0 && (minor ?? -1) < 0);
}
