/**
 * What Cloud Hypervisor is told of a machine.
 *
 * Names, types and defaults are those of its API description, `VmConfig` (version 51; those fields that are sent here are the same in
 * version 38, which AKS has, and in the current one).
 */
import { decodeBase64 } from "../../../crypto/base64.ts";
import { KataError } from "../../../kata-error.ts";
import type { DiskDevice } from "../disk-device.ts";
import { extensionSerial } from "../extension-images.ts";
import type { RateLimiter } from "../firecracker/api-client.ts";
import { diskLimiter } from "../firecracker/rate-limiter.ts";
import { initialArchive } from "../guest-root.ts";
import type { HostCardDevice } from "../host-card.ts";
import { kernelCommandLine } from "../kernel-parameters.ts";
import type { NetworkDevice } from "../network-device.ts";
import type { DiskRates, FileServerSocket, MachineSpec, SharedDirectoryDevice } from "../types.ts";
import { type LandlockRule, landlockConfig } from "./landlock.ts";

export interface VmConfig {
  readonly payload: {
    readonly kernel?: string;
    readonly firmware?: string;
    readonly cmdline?: string;
    readonly initramfs?: string;
    readonly igvm?: string;
    /** 32 bytes, hexadecimal. */
    readonly host_data?: string;
  };
  readonly cpus: {
    readonly boot_vcpus: number;
    readonly max_vcpus: number;
    readonly nested: boolean;
    readonly topology: {
      readonly threads_per_core: number;
      readonly cores_per_die: number;
      readonly dies_per_package: number;
      readonly packages: number;
    };
  };
  readonly memory: {
    /** Bytes. */
    readonly size: number;
    readonly shared: boolean;
    readonly hugepages: boolean;
    readonly prefault: boolean;
    readonly hotplug_method: "Acpi" | "VirtioMem";
    readonly hotplug_size?: number;
  };
  readonly disks?: readonly DiskConfig[];
  readonly fs?: readonly FsConfig[];
  readonly rng?: { readonly src: string };
  readonly balloon?: {
    readonly size: 0;
    readonly deflate_on_oom: boolean;
    readonly free_page_reporting: boolean;
  };
  readonly serial: ConsoleConfig;
  readonly console: ConsoleConfig;
  readonly vsock: { readonly cid: number; readonly socket: string };
  readonly landlock_enable?: true;
  readonly landlock_rules?: readonly LandlockRule[];
  readonly platform: {
    readonly num_pci_segments: number;
    readonly iommu_segments?: readonly number[];
    readonly sev_snp?: true;
  };
}

export interface DiskConfig {
  readonly id: string;
  readonly path: string;
  readonly readonly: boolean;
  readonly image_type: "Raw";
  readonly num_queues: number;
  readonly queue_size: number;
  readonly direct: boolean;
  readonly serial?: string;
  readonly iommu?: true;
  readonly rate_limiter_config?: RateLimiter;
}

export interface NetConfig {
  readonly id: string;
  readonly mac: string;
  /** Twice the number of descriptors that come with the request. */
  readonly num_queues: number;
  readonly queue_size: number;
  readonly iommu?: true;
  readonly rate_limiter_config?: RateLimiter;
}

export interface FsConfig {
  readonly id: string;
  readonly tag: string;
  readonly socket: string;
  readonly num_queues: number;
  readonly queue_size: number;
  readonly pci_segment: number;
}

/** A card of the host. */
export interface DeviceConfig {
  readonly id: string;
  /** Its directory in sysfs. */
  readonly path: string;
  readonly iommu?: true;
}

export type ConsoleConfig = { readonly mode: "Off" } | { readonly mode: "Tty" };

/** The guest's context id behind the monitor's own socket: of no meaning outside of the machine. */
export const GUEST_CID = 3;
/** Devices on the first PCI segment; the file server has one of its own, as upstream's. */
const PCI_SEGMENTS = 2;
const FILE_SERVER_SEGMENT = 1;
const DISK_QUEUE_SIZE = 1024;
const NETWORK_QUEUE_SIZE = 256;
const MIB = 1 << 20;

/**
 * @param vsock path of the socket that the monitor makes.
 * @param isTemplate whether others will go on from it, which a file server may be plugged into.
 * @throws KataError `unsupported` for what Cloud Hypervisor does not have.
 */
export function vmConfig(spec: MachineSpec, vsock: string, isTemplate = false): VmConfig {
  const shares = spec.devices.filter((device) => device.kind === "shared-directory");
  const disks = spec.devices.filter((device) => device.kind === "disk");
  const root = [
    ...(spec.root.kind === "image" ? [guestDisk("root", spec.root.path)] : []),
    ...(spec.extensions ?? []).map((image) => ({
      ...guestDisk(extensionSerial(image), image.path),
      serial: extensionSerial(image),
    })),
  ];
  if (spec.firmware !== "" && spec.kernel !== "") {
    throw new KataError("unsupported", {
      operation: "configure Cloud Hypervisor",
      object: `firmware = ${JSON.stringify(spec.firmware)}`,
      hint: "it boots either a kernel or a firmware; leave one of the two empty in [hypervisor.clh]",
    });
  }
  return {
    payload: payload(spec),
    cpus: {
      boot_vcpus: spec.vcpus,
      max_vcpus: spec.maxVcpus,
      // The Microsoft hypervisor refuses nested guests inside of its own.
      nested: spec.accelerator !== "mshv" && spec.options?.nested !== false,
      topology: { threads_per_core: 1, cores_per_die: spec.maxVcpus, dies_per_package: 1, packages: 1 },
    },
    memory: {
      size: spec.memoryMib * MIB,
      // A file server maps the guest's memory.
      shared: shares.length > 0 || spec.hugePages || isTemplate,
      hugepages: spec.hugePages,
      prefault: spec.preallocateMemory,
      ...growingMemory(spec),
    },
    ...listed("disks", [...root, ...disks.map((disk) => diskConfig(disk, spec))]),
    ...listed("fs", shares.map(shareConfig)),
    ...(spec.entropySource === "" ? {} : { rng: { src: spec.entropySource } }),
    ...(spec.reclaimMemory
      ? { balloon: { size: 0, deflate_on_oom: true, free_page_reporting: true } as const }
      : {}),
    ...landlockConfig(spec, isTemplate),
    // A confidential guest has no serial line: each byte of one would be a call to the host.
    serial: { mode: spec.confidential === undefined ? "Tty" : "Off" },
    console: { mode: spec.confidential === undefined ? "Off" : "Tty" },
    vsock: { cid: GUEST_CID, socket: vsock },
    platform: {
      num_pci_segments: PCI_SEGMENTS,
      ...(spec.confidential === undefined ? {} : { sev_snp: true }),
      ...(spec.options?.iommu === true ? { iommu_segments: [FILE_SERVER_SEGMENT] } : {}),
    },
  };
}

/** What the guest boots. A confidential one boots a file that has everything, its kernel's parameters too. */
function payload(spec: MachineSpec): VmConfig["payload"] {
  const { confidential } = spec;
  if (confidential !== undefined) {
    if ((spec.extensions ?? []).length > 0) {
      throw new KataError("unsupported", {
        operation: "configure Cloud Hypervisor",
        object: "guest_extension_images of a confidential guest",
        hint: "the parameters that tell of them would have to be in its IGVM file",
      });
    }
    if (confidential.kind !== "sev-snp" || confidential.igvm === "") {
      throw new KataError("unsupported", {
        operation: "configure Cloud Hypervisor",
        object: `a confidential guest (${confidential.kind})`,
        hint: "it starts those of SEV-SNP that are in an IGVM file",
      });
    }
    const { igvm, hostData } = confidential;
    return { igvm, ...(hostData === "" ? {} : { host_data: hexadecimal(hostData) }) };
  }
  const archive = initialArchive(spec.root);
  return {
    ...(spec.firmware === "" ? { kernel: spec.kernel } : { firmware: spec.firmware }),
    cmdline: kernelCommandLine({
      accelerator: spec.accelerator,
      machineType: "cloud-hypervisor",
      root: spec.root,
      console: "ttyS0",
      debug: spec.debug,
      maxVcpus: spec.maxVcpus,
      memoryGrows: spec.memoryGrowth !== undefined,
      // The containers want the IOMMU, not the kernel for its own devices.
      additional: [...(spec.options?.iommu === true ? ["iommu=pt"] : []), spec.kernelParameters].join(" "),
    }),
    ...(archive === undefined ? {} : { initramfs: archive }),
  };
}

function hexadecimal(base64: string): string {
  const bytes = decodeBase64(base64, false, "optional");
  if (bytes === undefined) {
    throw new KataError("internal", {
      operation: "configure Cloud Hypervisor",
      object: "host data is no base64",
    });
  }
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function growingMemory({
  memoryGrowth,
  memoryMib,
}: MachineSpec): Pick<VmConfig["memory"], "hotplug_method" | "hotplug_size"> {
  if (memoryGrowth === undefined) return { hotplug_method: "Acpi" };
  return {
    hotplug_method: memoryGrowth.kind === "virtio-mem" ? "VirtioMem" : "Acpi",
    hotplug_size: (memoryGrowth.maxMemoryMib - memoryMib) * MIB,
  };
}

export function shareConfig({ id, tag, queueSize, socket }: SharedDirectoryDevice): FsConfig {
  return {
    id,
    tag,
    socket: pathOf(socket),
    num_queues: 1,
    queue_size: queueSize,
    pci_segment: FILE_SERVER_SEGMENT,
  };
}

function pathOf(socket: FileServerSocket): string {
  if (socket.kind === "listening") return socket.path;
  throw new KataError("internal", {
    operation: "configure Cloud Hypervisor",
    object: "a connected file server",
  });
}

/** Of the guest itself: nobody can write to it. */
function guestDisk(id: string, path: string): DiskConfig {
  return {
    id,
    path,
    readonly: true,
    image_type: "Raw",
    num_queues: 1,
    queue_size: 128,
    direct: false,
  };
}

/** @param vcpus of the machine: without a wish, a queue for each. */
export function diskConfig(
  { id, path, readOnly, tuning }: DiskDevice,
  { vcpus, rates, options }: Pick<MachineSpec, "vcpus" | "rates" | "options">,
): DiskConfig {
  return {
    id,
    path,
    readonly: readOnly,
    image_type: "Raw",
    num_queues: Math.max(tuning?.queues ?? 1, vcpus),
    queue_size: Math.max(tuning?.queueSize ?? 0, DISK_QUEUE_SIZE),
    direct: tuning?.direct ?? false,
    ...behindIommu(options),
    ...limited(rates?.disk),
  };
}

export function hostCardConfig(
  { id, pciAddress }: HostCardDevice,
  { options }: Pick<MachineSpec, "options">,
): DeviceConfig {
  return { id, path: sysfsOf(pciAddress), ...behindIommu(options) };
}

function sysfsOf(pciAddress: string): string {
  return `/sys/bus/pci/devices/${pciAddress}`;
}

function behindIommu(options: MachineSpec["options"]): { readonly iommu?: true } {
  return options?.iommu === true ? { iommu: true } : {};
}

/** Its limiter is Firecracker's, down to the names. */
function limited(rates: DiskRates | undefined): { readonly rate_limiter_config?: RateLimiter } {
  const limiter = diskLimiter(rates);
  return limiter === undefined ? {} : { rate_limiter_config: limiter };
}

/** Its command line, without the program's name. @param api descriptor of the socket that its API is to listen at. */
export function programArguments({ options, withoutSeccomp }: MachineSpec, api: number): string[] {
  const verbosity = options?.verbosity ?? 0;
  return [
    ...["--api-socket", `fd=${api}`],
    ...(verbosity > 0 ? [`-${"v".repeat(verbosity)}`] : []),
    ...(withoutSeccomp === true ? ["--seccomp", "false"] : []),
  ];
}

/** How a network card is added. */
export type NetworkRequest =
  /** By a configuration, with the taps' descriptors sent along. */
  | { readonly kind: "tap"; readonly config: NetConfig; readonly taps: readonly number[] }
  /** A card of the host, by its directory in sysfs. */
  | { readonly kind: "pass-through"; readonly id: string; readonly path: string };

/** @throws KataError `unsupported` for a card whose other end is a program (vhost-user), or that only root can pass on. */
export function networkRequest(
  { id, macAddress, backend }: NetworkDevice,
  { options, user }: Pick<MachineSpec, "options" | "user">,
): NetworkRequest {
  switch (backend.kind) {
    case "tap": {
      const taps = backend.queues.map(({ tap }) => tap);
      const config = {
        id,
        mac: macAddress,
        num_queues: 2 * taps.length,
        queue_size: NETWORK_QUEUE_SIZE,
        ...behindIommu(options),
        ...limited(options?.cardRates),
      };
      return { kind: "tap", config, taps };
    }
    case "vfio":
      if (user !== undefined) {
        throw new KataError("unsupported", {
          operation: "configure Cloud Hypervisor",
          object: `network card ${id} of the host, for a monitor with a user of its own`,
          hint: "devices of the host are root's; set rootless to false",
        });
      }
      return { kind: "pass-through", id, path: sysfsOf(backend.pciAddress) };
    case "vhost-user":
      throw new KataError("unsupported", {
        operation: "configure Cloud Hypervisor",
        object: `network card ${id} over vhost-user`,
        hint: "use the hypervisor qemu for it",
      });
  }
}

function listed<Name extends string, Item>(
  name: Name,
  items: readonly Item[],
): { readonly [Key in Name]?: readonly Item[] } {
  return items.length === 0 ? {} : ({ [name]: items } as { readonly [Key in Name]: readonly Item[] });
}
