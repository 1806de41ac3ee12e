/**
 * QEMU's arguments for a machine; a pure function, so that every option can be tested.
 *
 * Nothing that a pod can choose gets here as it is: values are typed, and a comma, which separates QEMU's sub-options, is
 * doubled. Descriptors are numbers in QEMU's own table.
 * Source: qemu(1), QEMU 7.2 and later.
 */
import { KataError } from "../../../kata-error.ts";
import { type GuestArchitecture, guestArchitecture } from "../guest-architecture.ts";
import { initialArchive } from "../guest-root.ts";
import { kernelCommandLine } from "../kernel-parameters.ts";
import type { NetworkDevice, TapQueue } from "../network-device.ts";
import type { MachineSpec, NumaNode, SharedDirectoryDevice, StartDevice } from "../types.ts";
import { confidentialArguments } from "./confidential.ts";
import { extensionDisks } from "./extension-disks.ts";
import { SLOW_TO_EMULATE } from "./fast-emulation.ts";
import { flashChips } from "./flash-chips.ts";
import {
  earlyArguments,
  extraBoardOptions,
  extraKernelParameters,
  lateArguments,
  systemCallFilter,
} from "./machine-extras.ts";
import { networkCardOptions } from "./network-card.ts";
import { scsiArguments } from "./scsi-controller.ts";

/** The bus that devices of the start are on. */
const ROOT_BUS = "pcie.0";

/** The name of the port that carries the agent's protocol; the guest's agent looks for it. */
export const AGENT_PORT_NAME = "org.katacontainers.agent.0";

/** Names of devices that memory is given and taken by. */
export const VIRTIO_MEMORY = "virtiomem0";
export const BALLOON = "balloon0";

/** Descriptors that QEMU inherits, as numbers in QEMU. */
export interface InheritedDescriptors {
  readonly monitor: number;
  readonly console: number;
  /** The agent's channel over virtio-serial; undefined if it is vsock. */
  readonly agent: number | undefined;
  readonly vsock: { readonly descriptor: number; readonly cid: number } | undefined;
  /** For each device of the spec, in order, what it needs. */
  readonly devices: readonly DeviceDescriptors[];
  /** The file that is the machine's memory; absent for memory that nobody else has. */
  readonly memory?: number;
  /** The machine goes on from a state that comes later, instead of booting. */
  readonly incoming?: boolean;
}

export interface DeviceDescriptors {
  readonly primary: number;
  /** Of a network card over taps. */
  readonly queues?: readonly TapQueue[];
}

/** The whole command line, without the program's name. */
export function qemuArguments(spec: MachineSpec, inherited: InheritedDescriptors): string[] {
  const confidential = spec.confidential === undefined ? undefined : confidentialArguments(spec.confidential);
  return [
    ...flag("-name", [`sandbox-${spec.id}`, ...(spec.debug ? ["debug-threads=on"] : [])]),
    ...flag("-machine", [
      spec.machineType,
      ...boardOptions(spec),
      ...extraBoardOptions(spec),
      ...(confidential?.board ?? []),
    ]),
    // The older kind of these devices is QEMU's default; file servers speak the newer one.
    ...(spec.machineType === "microvm" ? flag("-global", ["virtio-mmio.force-legacy=false"]) : []),
    ...flag("-cpu", [
      confidential?.model ?? (spec.accelerator === "tcg" ? "max" : "host"),
      ...cpuOptions(spec),
    ]),
    ...flag("-smp", [`${spec.vcpus}`, `maxcpus=${spec.maxVcpus}`]),
    ...flag("-m", memorySize(spec)),
    ...(spec.numaNodes === undefined
      ? flag("-object", memoryBackend(spec, inherited.memory))
      : spec.numaNodes.flatMap((node, index) => numaNode(spec, node, index))),
    ...(confidential?.objects ?? []),
    ...virtioMemory(spec),
    ...["-no-user-config", "-nodefaults", "-display", "none", "-vga", "none", "-no-reboot"],
    ...flag("-rtc", ["base=utc", "driftfix=slew", "clock=host"]),
    ...systemCallFilter(spec),
    ...earlyArguments(spec),
    ...flag("-chardev", ["socket", "id=monitor", `fd=${inherited.monitor}`]),
    ...flag("-mon", ["chardev=monitor", "mode=control"]),
    ...flag("-chardev", ["socket", "id=console", `fd=${inherited.console}`]),
    ...["-serial", "chardev:console"],
    ...agentChannel(spec, inherited),
    ...hotPlugBridge(spec),
    ...entropy(spec),
    ...(spec.reclaimMemory
      ? flag("-device", [
          virtio(spec, "virtio-balloon"),
          `id=${BALLOON}`,
          "deflate-on-oom=on",
          "free-page-reporting=on",
        ])
      : []),
    ...scsiArguments(spec.options, virtio(spec, "virtio-scsi")),
    ...rootDisk(spec),
    ...extensionDisks(spec, virtio(spec, "virtio-blk")),
    ...hotPlugPorts(spec),
    ...spec.devices.flatMap((device, index) => deviceArguments(spec, device, inherited.devices[index])),
    ...lateArguments(spec),
    ...(spec.firmware === "" || flashChips(spec).length > 0 ? [] : ["-bios", spec.firmware]),
    ...(inherited.incoming === true ? ["-incoming", "defer"] : bootedFiles(spec)),
  ];
}

/** What a saved machine has in its memory already. */
function bootedFiles(spec: MachineSpec): string[] {
  // An image for Secure Execution has archive and parameters in it, encrypted.
  if (spec.confidential?.kind === "secure-execution") return ["-kernel", spec.kernel];
  const archive = initialArchive(spec.root);
  return [
    ...["-kernel", spec.kernel],
    ...(archive === undefined ? [] : ["-initrd", archive]),
    ...["-append", guestCommandLine(spec)],
  ];
}

function guestCommandLine(spec: MachineSpec): string {
  const memoryGrows = spec.memoryGrowth !== undefined;
  const console = CONSOLES[guestArchitecture(spec.machineType)];
  const additional = [...extraKernelParameters(spec), spec.kernelParameters].join(" ");
  return kernelCommandLine({ ...spec, memoryGrows, console, additional });
}

/** The guest's name of the line that `-serial` is. */
const CONSOLES: Readonly<Record<GuestArchitecture, string>> = {
  x86_64: "ttyS0",
  aarch64: "ttyAMA0",
  s390x: "ttysclp0",
};

/** QEMU's name of a virtio device: a mainframe has channels, microvm nothing that can be looked through. */
function virtio(spec: MachineSpec, device: string): string {
  if (isMainframe(spec)) return `${device}-ccw`;
  return `${device}-${hasPci(spec) ? "pci" : "device"}`;
}

function isMainframe({ machineType }: MachineSpec): boolean {
  return guestArchitecture(machineType) === "s390x";
}

/** Options that only a PCI device has. */
function onRootBus(spec: MachineSpec, ...options: readonly string[]): string[] {
  return hasPci(spec) ? [`bus=${ROOT_BUS}`, ...options] : [];
}

/** Whether devices can be plugged into the machine's PCI Express ports. */
export function hasPci(spec: MachineSpec): boolean {
  return spec.machineType !== "microvm" && !isMainframe(spec);
}

function flag(name: string, options: readonly string[]): string[] {
  return [name, options.map((option) => option.replaceAll(",", ",,")).join(",")];
}

function boardOptions(spec: MachineSpec): string[] {
  // With nodes, each has a backend of its own.
  const memory = spec.numaNodes === undefined ? ["memory-backend=memory0"] : [];
  const own = [`accel=${spec.accelerator}`, ...memory];
  // The newest interrupt controller that the accelerator has: the oldest knows no more than 8 CPUs.
  if (isArm(spec)) own.push("gic-version=max");
  // A distribution's kernel finds this board's devices through ACPI alone.
  if (spec.machineType === "microvm") own.push("pit=off", "pic=off", "rtc=on", "acpi=on");
  // Comes from the operator's configuration, whose author means the commas.
  return [...own, ...spec.machineOptions.split(",").filter((option) => option !== "")];
}

function cpuOptions(spec: MachineSpec): string[] {
  if (spec.accelerator === "tcg") {
    const slow = SLOW_TO_EMULATE[guestArchitecture(spec.machineType)];
    return slow.map((name) => `${name}=off`);
  }
  return spec.cpuFeatures.split(",").filter((option) => option !== "");
}

function isArm({ machineType }: MachineSpec): boolean {
  return guestArchitecture(machineType) === "aarch64";
}

function memorySize({ memoryMib, memoryGrowth }: MachineSpec): string[] {
  if (memoryGrowth === undefined) return [`${memoryMib}M`];
  // QEMU wants a slot for the address space even if no module comes.
  const slots = memoryGrowth.kind === "modules" ? memoryGrowth.slots : 1;
  return [`${memoryMib}M`, `slots=${slots}`, `maxmem=${memoryGrowth.maxMemoryMib}M`];
}

/** Shared, so that a file server maps the guest's memory. */
function memoryBackend(spec: MachineSpec, file: number | undefined): string[] {
  const size = `size=${spec.memoryMib}M`;
  if (file !== undefined) {
    return ["memory-backend-file", "id=memory0", size, `mem-path=/proc/self/fd/${file}`, "share=on"];
  }
  const preallocate = spec.preallocateMemory || spec.hugePages ? ["prealloc=on"] : [];
  const pages = spec.hugePages ? ["hugetlb=on"] : [];
  return ["memory-backend-memfd", "id=memory0", size, "share=on", ...pages, ...preallocate];
}

/** Memory that the host takes from certain nodes, and the CPUs beside it. */
function numaNode(spec: MachineSpec, node: NumaNode, index: number): string[] {
  const [kind = "", , ...options] = memoryBackend({ ...spec, memoryMib: node.memoryMib }, undefined);
  const id = `numa${index}-memory`;
  const hostNodes = node.hostNodes.map((each) => `host-nodes=${each}`);
  return [
    ...flag("-object", [kind, `id=${id}`, ...options, ...hostNodes, "policy=bind"]),
    ...flag("-numa", ["node", `nodeid=${index}`, `cpus=${node.firstVcpu}-${node.lastVcpu}`, `memdev=${id}`]),
  ];
}

/** A device that has all memory that may come, and none of it yet. */
function virtioMemory(spec: MachineSpec): string[] {
  if (spec.memoryGrowth?.kind !== "virtio-mem") return [];
  const size = `size=${spec.memoryGrowth.maxMemoryMib - spec.memoryMib}M`;
  const pages = spec.hugePages ? ["hugetlb=on"] : [];
  return [
    // Not reserved: it may be far more than will ever be used.
    ...flag("-object", ["memory-backend-memfd", "id=memory1", size, "share=on", "reserve=off", ...pages]),
    ...flag("-device", [
      "virtio-mem-pci",
      `id=${VIRTIO_MEMORY}`,
      "memdev=memory1",
      "requested-size=0",
      ...(spec.preallocateMemory ? ["prealloc=on"] : []),
      ...onRootBus(spec),
    ]),
  ];
}

function agentChannel(spec: MachineSpec, inherited: InheritedDescriptors): string[] {
  if (inherited.vsock !== undefined) {
    const { descriptor, cid } = inherited.vsock;
    return flag("-device", [
      virtio(spec, "vhost-vsock"),
      "id=vsock0",
      `guest-cid=${cid}`,
      `vhostfd=${descriptor}`,
    ]);
  }
  if (inherited.agent === undefined) {
    throw new KataError("internal", {
      operation: "make QEMU's command line",
      object: "no channel to the agent",
    });
  }
  return [
    ...flag("-device", [virtio(spec, "virtio-serial"), "id=serial0"]),
    ...flag("-chardev", ["socket", "id=agent", `fd=${inherited.agent}`]),
    ...flag("-device", ["virtserialport", "bus=serial0.0", "chardev=agent", `name=${AGENT_PORT_NAME}`]),
  ];
}

function entropy(spec: MachineSpec): string[] {
  if (spec.entropySource === "") return [];
  return [
    ...flag("-object", ["rng-random", "id=entropy0", `filename=${spec.entropySource}`]),
    ...flag("-device", [virtio(spec, "virtio-rng"), "rng=entropy0", ...onBridge(spec)]),
  ];
}

/** The guest's own disk: read-only, whatever the guest thinks (CVE-2020-2025). */
function rootDisk(spec: MachineSpec): string[] {
  if (spec.root.kind !== "image") return [];
  return [
    ...flag("-blockdev", [
      "driver=file",
      "node-name=image-file",
      `filename=${spec.root.path}`,
      "read-only=on",
    ]),
    ...flag("-blockdev", ["driver=raw", "node-name=image", "file=image-file", "read-only=on"]),
    ...flag("-device", [virtio(spec, "virtio-blk"), "id=image0", "drive=image"]),
  ];
}

function deviceArguments(
  spec: MachineSpec,
  device: StartDevice,
  descriptors: DeviceDescriptors | undefined,
): string[] {
  switch (device.kind) {
    case "disk": {
      const readOnly = `read-only=${device.readOnly ? "on" : "off"}`;
      return [
        ...flag("-blockdev", [
          "driver=file",
          `node-name=${device.id}-file`,
          `filename=${device.path}`,
          readOnly,
        ]),
        ...flag("-blockdev", [
          "driver=raw",
          `node-name=${device.id}-node`,
          `file=${device.id}-file`,
          readOnly,
        ]),
        ...flag("-device", [
          virtio(spec, "virtio-blk"),
          `id=${device.id}`,
          `drive=${device.id}-node`,
          ...onRootBus(spec),
        ]),
      ];
    }
    case "network":
      return networkCardOptions(
        device,
        required(device, descriptors),
        virtio(spec, "virtio-net"),
        cardPlace(spec, device),
      ).flatMap(([name, options]) => flag(name, options));
    case "shared-directory": {
      const { primary } = required(device, descriptors);
      return [
        ...flag("-chardev", ["socket", `id=${device.id}-socket`, `fd=${primary}`]),
        ...flag("-device", [
          virtio(spec, "vhost-user-fs"),
          `id=${device.id}`,
          `chardev=${device.id}-socket`,
          `tag=${device.tag}`,
          `queue-size=${device.queueSize}`,
          ...onRootBus(spec),
        ]),
      ];
    }
  }
}

/**
 * A card of the start is in the first slots that devices can be plugged into, as far as there are some: it may have to go. One of
 * the host stays, and may need more addresses than a bridge has.
 */
function cardPlace(spec: MachineSpec, device: NetworkDevice): string[] {
  const movable = spec.devices.filter(isMovable);
  const index = movable.indexOf(device);
  if (index >= 0 && hasHotPlugBridge(spec)) {
    const slot = (FIRST_BRIDGE_SLOT + 1 + index).toString(16);
    return [`bus=${HOT_PLUG_BRIDGE}`, `addr=${slot}`, "romfile="];
  }
  if (index >= 0 && hasPci(spec) && index < spec.hotPlugSlots)
    return [`bus=${hotPlugPort(index)}`, "romfile="];
  return onRootBus(spec, "romfile=");
}

function isMovable(device: StartDevice): device is NetworkDevice {
  return device.kind === "network" && device.backend.kind !== "vfio";
}

/** The descriptor of a file server's socket. QEMU inherits descriptors, and has no business at paths. */
export function connectedSocket({ id, socket }: SharedDirectoryDevice): number {
  if (socket.kind === "connected") return socket.descriptor;
  throw new KataError("internal", {
    operation: "start QEMU",
    object: `no connection to the file server of ${id}`,
  });
}

function required(device: StartDevice, descriptors: DeviceDescriptors | undefined): DeviceDescriptors {
  if (descriptors !== undefined) return descriptors;
  throw new KataError("internal", {
    operation: "make QEMU's command line",
    object: `no descriptor for ${device.id}`,
  });
}

function hotPlugPorts(spec: MachineSpec): string[] {
  if (!hasPci(spec)) return [];
  return Array.from({ length: spec.hotPlugSlots }, (_, index) =>
    // Chassis and slot numbers start at 1: 0 is the root complex itself.
    flag("-device", [
      "pcie-root-port",
      `id=${hotPlugPort(index)}`,
      `chassis=${index + 1}`,
      `slot=${index + 1}`,
    ]),
  ).flat();
}

/** The bridge whose slots devices are plugged into while the machine runs. */
export const HOT_PLUG_BRIDGE = "bridge0";

/**
 * Whether the machine has the bridge. It is ACPI that tells the guest of devices behind it, which an x86 board has; a port costs
 * the guest a device each at its start, the bridge one for all slots.
 * Source: QEMU documentation, docs/specs/acpi_pci_hotplug.rst.
 */
export function hasHotPlugBridge(spec: MachineSpec): boolean {
  return spec.machineType === "q35" || spec.machineType === "pc";
}

function hotPlugBridge(spec: MachineSpec): string[] {
  if (!hasHotPlugBridge(spec)) return [];
  return [
    // Chassis numbers of the ports begin at 1.
    ...flag("-device", ["pci-bridge", `id=${HOT_PLUG_BRIDGE}`, "chassis_nr=200", "shpc=off"]),
    ...(spec.entropySource === "" ? flag("-device", ["pci-testdev", ...onBridge(spec)]) : []),
  ];
}

/** The slot of the bridge that is taken from the start. */
export const FIRST_BRIDGE_SLOT = 1;

/**
 * The guest's kernel gives a bridge addresses for devices by what is behind it at the start, and never more: with nothing there and
 * a firmware that has not done it, whatever is plugged in later gets none. One device makes it a mebibyte, enough for all slots.
 */
function onBridge(spec: MachineSpec): string[] {
  return hasHotPlugBridge(spec) ? [`bus=${HOT_PLUG_BRIDGE}`, `addr=${FIRST_BRIDGE_SLOT}`] : [];
}

/** The name of a port that a device can be plugged into. */
export function hotPlugPort(index: number): string {
  return `port${index}`;
}
