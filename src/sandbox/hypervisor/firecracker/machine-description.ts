/** What Firecracker is told of a machine, in the words of its API. */
import { KataError } from "../../../kata-error.ts";
import type { DiskDevice } from "../disk-device.ts";
import { kernelCommandLine } from "../kernel-parameters.ts";
import type { NetworkDevice } from "../network-device.ts";
import type { MachineSpec } from "../types.ts";
import type { BootSource, Drive, MachineConfiguration, NetworkInterface, Vsock } from "./api-client.ts";
import { type DriveSlot, driveSlots } from "./drive-slots.ts";
import { bandwidthLimiter, diskLimiter } from "./rate-limiter.ts";

export interface MachineDescription {
  readonly machine: MachineConfiguration;
  /** Without the kernel's parameters, which depend on the monitor's version. */
  readonly boot: Omit<BootSource, "boot_args">;
  /** In this order: the guest names them by it. */
  readonly drives: readonly Drive[];
  readonly cards: readonly NetworkInterface[];
  readonly vsock: Vsock;
  readonly entropy: boolean;
  /** Those of the drives whose backing comes later. */
  readonly slots: readonly DriveSlot[];
}

/** How the monitor names files: of the host's, and of those that are made for it. */
export interface MonitorPaths {
  /** A file of the host's that the monitor opens at its start. */
  give(name: string, path: string, access: "read" | "write"): string;
  /** A file in the monitor's own directory. */
  monitor(name: string): string;
}

/** The guest's context id behind the monitor's own socket: of no meaning outside of the machine. */
const GUEST_CID = 3;
/** In the monitor's directory; upstream's name. */
export const VSOCK_SOCKET = "kata.hvsock";
/** Source: Firecracker documentation, docs/kernel-policy.md; its CHANGELOG, 1.8.0: tables of ACPI. */
const FIRST_WITH_ACPI = [1, 8];
const MAX_VCPUS = 32;

/** @throws KataError `unsupported` for what Firecracker does not have. */
export function describeMachine(spec: MachineSpec, files: MonitorPaths): MachineDescription {
  refuseOthers(spec);
  const cards = spec.devices.filter((device) => device.kind === "network");
  const disks = spec.devices.filter((device) => device.kind === "disk");
  const root = spec.root.kind === "image" ? [rootDrive(files.give("rootfs", spec.root.path, "read"))] : [];
  const drivesBefore = root.length + disks.length;
  const entropy = spec.entropySource !== "";
  const slots = driveSlots(drivesBefore + cards.length + 1 + (entropy ? 1 : 0), drivesBefore);
  return {
    machine: {
      vcpu_count: spec.vcpus,
      mem_size_mib: spec.memoryMib,
      smt: false,
      ...(spec.hugePages ? { huge_pages: "2M" } : {}),
    },
    boot: {
      kernel_image_path: files.give("vmlinux", spec.kernel, "read"),
      ...(spec.root.kind === "initrd" ? { initrd_path: files.give("initrd", spec.root.path, "read") } : {}),
    },
    drives: [
      ...root,
      ...disks.map((disk, index) => fixedDrive(disk, `disk${root.length + index}`, files)),
      ...slots.map((slot) => slotDrive(slot, spec, files)),
    ],
    cards: cards.map((card) => networkInterface(card, spec)),
    vsock: { guest_cid: GUEST_CID, uds_path: files.monitor(VSOCK_SOCKET) },
    entropy,
    slots,
  };
}

/** All that a saved machine depends on but the files, as text. Cards are alike. */
export function machineText(spec: MachineSpec): string {
  const nowhere: MonitorPaths = { give: (name) => name, monitor: (name) => name };
  const cards = spec.devices.filter(({ kind }) => kind === "network").length;
  const card = {
    kind: "network",
    macAddress: "",
    backend: { kind: "tap", queues: [], name: "tap" },
  } as const;
  const devices = Array.from({ length: cards }, (_, index) => ({ ...card, id: `card${index}` }));
  return JSON.stringify([describeMachine({ ...spec, devices }, nowhere), bootArguments(spec, "")]);
}

/** The kernel's parameters. @param version of the monitor, `1.12.1`. */
export function bootArguments(spec: MachineSpec, version: string): string {
  return kernelCommandLine({
    accelerator: spec.accelerator,
    machineType: "firecracker",
    root: spec.root,
    console: "ttyS0",
    debug: spec.debug,
    maxVcpus: spec.vcpus,
    memoryGrows: false,
    board: boardParameters(version),
    additional: spec.kernelParameters,
  });
}

/** Its devices are on virtio-mmio; an old one tells of them, and of its processors, in other ways than ACPI's. */
function boardParameters(version: string): string[] {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number);
  const [firstMajor = 0, firstMinor = 0] = FIRST_WITH_ACPI;
  const hasAcpi = major > firstMajor || (major === firstMajor && minor >= firstMinor);
  return ["pci=off", "iommu=off", "random.trust_cpu=on", ...(hasAcpi ? [] : ["acpi=off"])];
}

function refuseOthers(spec: MachineSpec): void {
  if (spec.devices.some(({ kind }) => kind === "shared-directory")) {
    throw unsupported('shared_fs = "virtio-fs"', 'set shared_fs = "none" in [hypervisor.firecracker]');
  }
  if (spec.firmware !== "")
    throw unsupported(`firmware = ${spec.firmware}`, "it boots a kernel, leave firmware empty");
  if (spec.vcpus > MAX_VCPUS) {
    throw unsupported(`${spec.vcpus} CPUs`, `its machines have at most ${MAX_VCPUS}; lower the pod's limits`);
  }
  if (spec.confidential !== undefined)
    throw unsupported("a confidential guest", "use the hypervisor qemu for it");
}

function rootDrive(path: string): Drive {
  return {
    drive_id: "rootfs",
    path_on_host: path,
    // The kernel's parameters name it: the monitor would add its own.
    is_root_device: false,
    is_read_only: true,
    cache_type: "Unsafe",
  };
}

function fixedDrive(disk: DiskDevice, id: string, files: MonitorPaths): Drive {
  return {
    drive_id: id,
    path_on_host: files.give(id, disk.path, disk.readOnly ? "read" : "write"),
    is_root_device: false,
    is_read_only: disk.readOnly,
    cache_type: cacheType(disk),
  };
}

/** The guest may ask for its data to be on the disk, unless that wish is passed over. */
function cacheType({ tuning }: Pick<DiskDevice, "tuning">): Drive["cache_type"] {
  return tuning?.noFlush === true ? "Unsafe" : "Writeback";
}

function slotDrive(slot: DriveSlot, spec: MachineSpec, files: MonitorPaths): Drive {
  const limiter = diskLimiter(spec.rates?.disk);
  return {
    drive_id: slot.id,
    path_on_host: files.monitor(slot.id),
    is_root_device: false,
    is_read_only: slot.readOnly,
    cache_type: cacheType({ ...(spec.diskTuning === undefined ? {} : { tuning: spec.diskTuning }) }),
    ...(limiter === undefined ? {} : { rate_limiter: limiter }),
  };
}

function networkInterface({ id, macAddress, backend }: NetworkDevice, spec: MachineSpec): NetworkInterface {
  if (backend.kind !== "tap" || backend.name === undefined) {
    throw unsupported(
      `network card ${id} of kind ${backend.kind}`,
      "its cards are taps in the pod's network namespace",
    );
  }
  const received = bandwidthLimiter(spec.rates?.network.received ?? 0);
  const sent = bandwidthLimiter(spec.rates?.network.sent ?? 0);
  return {
    iface_id: id,
    guest_mac: macAddress,
    host_dev_name: backend.name,
    ...(received === undefined ? {} : { rx_rate_limiter: received }),
    ...(sent === undefined ? {} : { tx_rate_limiter: sent }),
  };
}

function unsupported(object: string, hint: string): KataError {
  return new KataError("unsupported", { operation: "configure Firecracker", object, hint });
}
