/** What a sandbox takes from the configuration, in its own terms. */
import type { Configuration } from "../config/index.ts";
import { KataError } from "../kata-error.ts";
import type { GuestConstraints } from "../oci/constrain-spec.ts";
import { exists } from "../sys/files.ts";
import { agentParameters } from "./agent-parameters.ts";
import { type ConfidentialWish, confidentialWish } from "./confidential-guest.ts";
import type { DiskTuning } from "./hypervisor/disk-device.ts";
import { HYPERVISORS, type HypervisorName, isElsewhere, isHypervisorName } from "./hypervisor/drivers.ts";
import {
  type ExtensionImage,
  extensionParameters,
  parseExtensionImages,
} from "./hypervisor/extension-images.ts";
import { guestArchitecture } from "./hypervisor/guest-architecture.ts";
import type { MachineOptions } from "./hypervisor/machine-options.ts";
import type { RemoteSettings } from "./hypervisor/remote/machine-annotations.ts";
import type { DiskRates, GuestRoot, Hypervisor } from "./hypervisor/types.ts";
import { parseVerityParameters } from "./hypervisor/verity-parameters.ts";
import { type MonitorIdentity, machineOptions, monitorIdentity } from "./machine-settings.ts";
import type { InterworkingModel } from "./network/endpoint.ts";
import type { RateLimits } from "./network/rate-limit.ts";
import { decodePolicy } from "./owner-data.ts";
import type { GrowthSettings } from "./resources/machine-growth.ts";
import type { SizeDefaults } from "./resources/sizing.ts";
import type { SwapSettings } from "./storage/guest-swap.ts";
import type { LayerChanges, LayerChangesMode } from "./storage/layer-changes.ts";
import { parseSandboxBindMounts, type SandboxBindMount } from "./storage/sandbox-bind-mounts.ts";
import type { VhostUserStore } from "./storage/vhost-user-store.ts";
import type { EmptyDirMode } from "./storage/volumes.ts";

export interface SandboxSettings {
  readonly driver: HypervisorName;
  readonly machine: {
    readonly program: string;
    readonly machineType: string;
    readonly machineOptions: string;
    readonly cpuFeatures: string;
    readonly firmware: string;
    readonly kernel: string;
    readonly root: GuestRoot;
    readonly extensions: readonly ExtensionImage[];
    readonly kernelParameters: string;
    readonly debug: boolean;
    readonly hugePages: boolean;
    readonly preallocateMemory: boolean;
    readonly reclaimMemory: boolean;
    readonly hotPlugSlots: number;
    readonly entropySource: string;
    readonly options: MachineOptions;
    readonly jailer: string;
    readonly withoutSeccomp: boolean;
  };
  /** Who makes the machine, for one that runs on another host. */
  readonly remote: RemoteSettings | undefined;
  readonly size: SizeDefaults;
  /** Host nodes for each node of the guest; undefined for a guest without nodes. */
  readonly numa: { readonly mapping: readonly string[] } | undefined;
  /** Whether each CPU of the machine has one of the host's for itself, if there are as many. */
  readonly vcpusPinning: boolean;
  /** How memory comes to a machine that grows. */
  readonly memoryGrowth: GrowthSettings;
  readonly fileServer: {
    readonly program: string;
    readonly cache: string;
    readonly queueSize: number;
    readonly extraArguments: readonly string[];
  };
  readonly disks: DiskTuning;
  readonly diskRates: DiskRates;
  /** Disks that other programs serve. */
  readonly vhostUser: {
    /** Undefined where no node stands for one. */
    readonly store: VhostUserStore | undefined;
    readonly reconnectSeconds: number;
  };
  /** Whether a root filesystem that is a disk goes into the guest as one. */
  readonly blockRootfs: boolean;
  /** Undefined for a guest without swap space. */
  readonly swap: SwapSettings | undefined;
  /** Whether the guest pulls the images of all containers by itself. */
  readonly guestPull: boolean;
  readonly template: {
    /** Machines are cloned from a saved one, which is made when there is none. */
    readonly enabled: boolean;
    /** Directory of the saved machines. */
    readonly path: string;
  };
  /** Whether host and guest share a directory; otherwise files are copied. */
  readonly sharesFiles: boolean;
  readonly emptyDirs: EmptyDirMode;
  /** Where containers write over verified layers. */
  readonly layerChanges: LayerChanges;
  /** What every pod sees of the host. */
  readonly bindMounts: readonly SandboxBindMount[];
  readonly pool: {
    /** Machines that are kept ready; 0 for no pool. */
    readonly machines: number;
    /** Most memory of their guests together, MiB; 0 for no limit but the host's. */
    readonly memoryBudgetMib: number;
    /** Socket of the process that keeps them. */
    readonly endpoint: string;
  };
  readonly vhostNet: boolean;
  readonly network: {
    readonly model: InterworkingModel | "none";
    /** Queue pairs of a card; 1: as many as the machine has processors. */
    readonly queues: number;
    readonly limits: RateLimits;
    /** Whether a link that is a PCI card of the host is given to the machine. */
    readonly passCards: boolean;
    /** Where descriptions of pods' devices lie; empty for nowhere. */
    readonly danDirectory: string;
  };
  readonly disableNewNetworkNamespace: boolean;
  readonly sandboxCgroupOnly: boolean;
  readonly constraints: GuestConstraints;
  readonly monitorIdentity: MonitorIdentity;
  /** Undefined for a guest that trusts its host. */
  readonly confidential: ConfidentialWish | undefined;
  /** Until the agent must have answered after the start, ms. */
  readonly dialTimeoutMs: number;
  readonly createContainerTimeoutMs: number;
  /** The policy that the agent gets before anything else, Rego; empty for none. */
  readonly policy: string;
  /** What binds the guest to its owner, as the annotation has it; empty for none. */
  readonly initdata: string;
  /** Directory in the guest with hooks for containers; empty for none. */
  readonly guestHookPath: string;
  readonly kernelModules: readonly { readonly name: string; readonly parameters: readonly string[] }[];
}

/** @throws KataError `unsupported` for a choice that this version does not have, `invalid-configuration` for a missing file. */
export function sandboxSettings(configuration: Configuration): SandboxSettings {
  const { driver, hypervisor, factory, agent, runtime } = configuration;
  if (!isHypervisorName(driver)) {
    throw unsupported("hypervisor", driver, Object.keys(HYPERVISORS).join(" and "));
  }
  const sharesFiles = hypervisor.shared_fs === "virtio-fs";
  if (!sharesFiles && hypervisor.shared_fs !== "none") {
    throw unsupported("shared_fs", hypervisor.shared_fs, "virtio-fs and none");
  }
  if (sharesFiles && isElsewhere(driver)) throw unsupported("shared_fs", hypervisor.shared_fs, "none for it");
  const model = runtime.internetworking_model;
  if (model !== "tcfilter" && model !== "macvtap" && model !== "none") {
    throw unsupported("internetworking_model", model, "tcfilter, macvtap or none");
  }
  const extensions = parseExtensionImages(hypervisor.guest_extension_images);
  if (extensions.length > 0 && (HYPERVISORS[driver] as Hypervisor).namesDisks !== true) {
    throw unsupported("guest_extension_images", `of ${driver}`, "them for qemu and clh");
  }
  return {
    driver,
    machine: {
      program: hypervisor.path,
      machineType: hypervisor.machine_type,
      machineOptions: hypervisor.machine_accelerators,
      cpuFeatures: hypervisor.cpu_features,
      firmware: hypervisor.firmware,
      kernel: hypervisor.kernel,
      extensions,
      kernelParameters: [
        ...agentParameters(configuration),
        ...extensionParameters(extensions),
        hypervisor.kernel_params,
      ].join(" "),
      root: guestRoot(hypervisor),
      debug: hypervisor.enable_debug,
      // Transparent ones come by themselves where the host's kernel has them for shared memory.
      hugePages: hypervisor.enable_hugepages && hypervisor.hugepage_type === "hugetlbfs",
      preallocateMemory: hypervisor.enable_mem_prealloc,
      reclaimMemory: hypervisor.reclaim_guest_freed_memory,
      hotPlugSlots: hypervisor.pcie_root_port,
      entropySource: hypervisor.entropy_source,
      options: machineOptions(configuration),
      jailer: hypervisor.jailer_path,
      withoutSeccomp: hypervisor.disable_seccomp,
    },
    remote: isElsewhere(driver) ? remoteSettings(hypervisor) : undefined,
    size: {
      vcpus: hypervisor.default_vcpus,
      maxVcpus: hypervisor.default_maxvcpus,
      memoryMib: hypervisor.default_memory,
      maxMemoryMib: hypervisor.default_maxmemory,
      // QEMU's microvm has no hot-plugging at all; Arm's board has some for memory, where a firmware tells of it by ACPI.
      // QEMU plugs nothing into a NUMA node, and a confidential guest takes nothing that comes later.
      isStatic:
        runtime.static_sandbox_resource_mgmt ||
        isElsewhere(driver) ||
        (HYPERVISORS[driver] as Hypervisor).fixedSize === true ||
        hypervisor.machine_type === "microvm" ||
        guestArchitecture(hypervisor.machine_type) !== "x86_64" ||
        hypervisor.enable_numa ||
        hypervisor.confidential_guest,
      overheadVcpus: hypervisor.overhead_vcpus,
      overheadMemoryMib: hypervisor.overhead_memory,
      workloadVcpus: runtime.static_sandbox_default_workload_vcpus,
      workloadMemoryMib: runtime.static_sandbox_default_workload_mem,
      workloadMinimumMib: runtime.sandbox_workload_mem_min,
    },
    numa: hypervisor.enable_numa ? { mapping: hypervisor.numa_mapping } : undefined,
    vcpusPinning: runtime.enable_vcpus_pinning,
    memoryGrowth: { slots: hypervisor.memory_slots, virtioMem: hypervisor.enable_virtio_mem },
    fileServer: {
      program: sharesFiles
        ? fileServerProgram(hypervisor.virtio_fs_daemon, hypervisor.valid_virtio_fs_daemon_paths)
        : "",
      cache: hypervisor.virtio_fs_cache,
      queueSize: hypervisor.virtio_fs_queue_size,
      extraArguments: hypervisor.virtio_fs_extra_args,
    },
    disks: diskTuning(hypervisor),
    diskRates: {
      bandwidth: hypervisor.disk_rate_limiter_bw_max_rate,
      bandwidthBurst: hypervisor.disk_rate_limiter_bw_one_time_burst,
      operations: hypervisor.disk_rate_limiter_ops_max_rate,
      operationsBurst: hypervisor.disk_rate_limiter_ops_one_time_burst,
    },
    vhostUser: {
      store: hypervisor.enable_vhost_user_store ? { directory: hypervisor.vhost_user_store_path } : undefined,
      reconnectSeconds: hypervisor.vhost_user_reconnect_timeout_sec,
    },
    blockRootfs: !hypervisor.disable_block_device_use,
    swap: hypervisor.enable_guest_swap
      ? {
          directory: hypervisor.guest_swap_path,
          percent: hypervisor.guest_swap_size_percent,
          afterMs: hypervisor.guest_swap_create_threshold_secs * 1000,
        }
      : undefined,
    // Nothing of this host's comes to a machine that is elsewhere.
    guestPull:
      isElsewhere(driver) ||
      runtime.experimental_force_guest_pull ||
      runtime.experimental.includes("force_guest_pull"),
    template: { enabled: factory.enable_template, path: factory.template_path },
    sharesFiles,
    emptyDirs: emptyDirMode(runtime, sharesFiles),
    layerChanges: {
      mode: changesMode(runtime.layer_changes),
      bytes: runtime.layer_changes_disk_size * 2 ** 20,
    },
    bindMounts: parseSandboxBindMounts(runtime.sandbox_bind_mounts),
    pool: {
      machines: factory.vm_cache_number,
      memoryBudgetMib: factory.vm_cache_memory,
      endpoint: factory.vm_cache_endpoint,
    },
    vhostNet: !hypervisor.disable_vhost_net,
    network: {
      model,
      queues: hypervisor.network_queues,
      limits: {
        received: hypervisor.rx_rate_limiter_max_rate,
        sent: hypervisor.tx_rate_limiter_max_rate,
      },
      passCards: hypervisor.cold_plug_vfio !== "no-port",
      danDirectory: runtime.dan_conf,
    },
    disableNewNetworkNamespace: runtime.disable_new_netns,
    sandboxCgroupOnly: runtime.sandbox_cgroup_only,
    constraints: {
      seccomp: !runtime.disable_guest_seccomp,
      selinux: { kind: "drop" },
      guestKernelOwnsVfio: runtime.vfio_mode === "guest-kernel",
    },
    monitorIdentity: monitorIdentity(configuration),
    confidential: confidentialWish(configuration),
    dialTimeoutMs: agent.dial_timeout * 1000,
    createContainerTimeoutMs: runtime.create_container_timeout * 1000,
    policy: decodePolicy(agent.policy),
    initdata: hypervisor.initdata,
    guestHookPath: hypervisor.guest_hook_path,
    kernelModules: [...panicNotifier(hypervisor), ...agent.kernel_modules].map((line) => {
      const [name = "", ...parameters] = line.split(/\s+/).filter((part) => part !== "");
      return { name, parameters };
    }),
  };
}

function remoteSettings(hypervisor: Configuration["hypervisor"]): RemoteSettings {
  return {
    service: {
      socket: hypervisor.remote_hypervisor_socket,
      timeoutMs: hypervisor.remote_hypervisor_timeout * 1000,
    },
    instanceType: hypervisor.machine_type,
    image: hypervisor.image,
    gpus: hypervisor.default_gpus,
    gpuModel: hypervisor.default_gpu_model,
    initdata: hypervisor.initdata,
  };
}

/**
 * Where the guest's root is. An archive with the image is what opens it: only a checked image has one.
 *
 * @throws KataError `invalid-configuration`.
 */
export function guestRoot(hypervisor: Configuration["hypervisor"]): GuestRoot {
  if (hypervisor.image === "") {
    // Who set it counts on a check that would not be made.
    if (hypervisor.kernel_verity_params !== "") {
      throw new KataError("invalid-configuration", {
        operation: "read configuration",
        object: "kernel_verity_params",
        hint: "it is about image, which is not set",
      });
    }
    return { kind: "initrd", path: hypervisor.initrd };
  }
  const image = { kind: "image", path: hypervisor.image, filesystem: hypervisor.rootfs_type } as const;
  if (hypervisor.kernel_verity_params === "") return image;
  return {
    ...image,
    verity: parseVerityParameters(hypervisor.kernel_verity_params),
    ...(hypervisor.initrd === "" ? {} : { initrd: hypervisor.initrd }),
  };
}

/** The guest's kernel tells of a panic by a driver. */
function panicNotifier(hypervisor: Configuration["hypervisor"]): string[] {
  return hypervisor.guest_memory_dump_path === "" ? [] : ["pvpanic_pci"];
}

function emptyDirMode(runtime: Configuration["runtime"], sharesFiles: boolean): EmptyDirMode {
  const mode = runtime.emptydir_mode;
  if (mode === "block-plain" || mode === "block-encrypted") return mode;
  return runtime.disable_guest_empty_dir && sharesFiles ? "shared-fs" : "guest";
}

function changesMode(name: string): LayerChangesMode {
  return name === "block-plain" || name === "block-encrypted" ? name : "memory";
}

function ioOf(name: string): DiskTuning["io"] {
  return name === "native" || name === "threads" ? name : "io_uring";
}

function diskTuning(hypervisor: Configuration["hypervisor"]): DiskTuning {
  // Without this key the two below it mean nothing.
  const sets = hypervisor.block_device_cache_set;
  return {
    io: ioOf(hypervisor.block_device_aio),
    direct: sets && hypervisor.block_device_cache_direct,
    noFlush: sets && hypervisor.block_device_cache_noflush,
    logicalSectorBytes: hypervisor.block_device_logical_sector_size,
    physicalSectorBytes: hypervisor.block_device_physical_sector_size,
    queues: hypervisor.num_queues,
    queueSize: hypervisor.queue_size,
    threads: hypervisor.indep_iothreads,
  };
}

function fileServerProgram(program: string, candidates: readonly string[]): string {
  if (program !== "") return program;
  const found = candidates.find((candidate) => exists(candidate));
  if (found !== undefined) return found;
  throw new KataError("invalid-configuration", {
    operation: "find virtiofsd",
    object: candidates.join(", "),
    errno: "ENOENT",
    hint: "install virtiofsd, or set virtio_fs_daemon of [hypervisor.qemu] in configuration.toml",
  });
}

function unsupported(key: string, value: string | boolean, instead: string): KataError {
  return new KataError("unsupported", {
    operation: "read configuration",
    object: `${key} = ${JSON.stringify(value)}`,
    hint: `this version has ${instead}`,
  });
}
