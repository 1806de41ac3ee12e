/**
 * The structure that `env` shows: programs parse it, so names and order are upstream's, format 1.0.27.
 * Source: upstream's kata-runtime, `env`.
 */
import type { DriverName } from "../../config/index.ts";
import type { Architecture, HostFacts } from "../host/host-facts.ts";

/** Of the structure. */
const FORMAT_VERSION = "1.0.27";

/** What stands for something that could not be found out. */
const UNKNOWN = "<<unknown>>";

/** As upstream's programs, which are written in Go, call them. */
const GO_ARCHITECTURES: Readonly<Record<Architecture, string>> = {
  x86_64: "amd64",
  aarch64: "arm64",
  s390x: "s390x",
};

/** Where the agent is reached through a socket in the file system; `{ID}` is the sandbox. */
const SOCKETS: Readonly<Record<DriverName, string>> = {
  qemu: "",
  clh: "{ID}/clh.sock",
  firecracker: "{ID}/kata.hvsock",
  remote: "",
  stratovirt: "",
  dragonball: "",
  openvmm: "",
};

export interface Environment {
  readonly Kernel: { readonly Path: string; readonly Parameters: string };
  readonly Meta: { readonly Version: string };
  readonly Image: { readonly Path: string };
  readonly Initrd: { readonly Path: string };
  readonly Hypervisor: {
    readonly MachineType: string;
    readonly Version: string;
    readonly Path: string;
    readonly BlockDeviceDriver: string;
    readonly EntropySource: string;
    readonly SharedFS: string;
    readonly VirtioFSDaemon: string;
    readonly SocketPath: string;
    readonly Msize9p: number;
    readonly MemorySlots: number;
    readonly HotPlugVFIO: string;
    readonly ColdPlugVFIO: string;
    /** Only of QEMU, whose machines alone have such ports. */
    readonly PCIeRootPort?: number;
    readonly PCIeSwitchPort?: number;
    readonly Debug: boolean;
    readonly SecurityInfo: {
      readonly Rootless: boolean;
      readonly DisableSeccomp: boolean;
      readonly GuestHookPath: string;
      readonly EnableAnnotations: readonly string[];
      readonly ConfidentialGuest: boolean;
    };
  };
  readonly Runtime: {
    readonly Config: { readonly Path: string };
    readonly Path: string;
    readonly GuestSeLinuxLabel: string;
    readonly Experimental: readonly string[];
    readonly Version: {
      readonly OCI: string;
      readonly Version: {
        readonly Semver: string;
        readonly Commit: string;
        readonly Major: number;
        readonly Minor: number;
        readonly Patch: number;
      };
    };
    readonly Debug: boolean;
    readonly Trace: boolean;
    readonly DisableGuestSeccomp: boolean;
    readonly DisableNewNetNs: boolean;
    readonly SandboxCgroupOnly: boolean;
  };
  readonly Host: {
    readonly AvailableGuestProtections: readonly string[];
    readonly Kernel: string;
    readonly Architecture: string;
    readonly Distro: { readonly Name: string; readonly Version: string };
    readonly CPU: { readonly Vendor: string; readonly Model: string; readonly CPUs: number };
    /** KiB. */
    readonly Memory: { readonly Total: number; readonly Free: number; readonly Available: number };
    readonly VMContainerCapable: boolean;
    readonly SupportVSocks: boolean;
  };
  readonly Agent: { readonly Debug: boolean; readonly Trace: boolean };
}

export interface RuntimeIdentity {
  /** Of the running program. */
  readonly path: string;
  readonly version: string;
  readonly commit: string;
  readonly ociVersion: string;
}

/** @param capable of {@link evaluate}. */
export function describeEnvironment(
  facts: HostFacts,
  identity: RuntimeIdentity,
  capable: boolean,
): Environment {
  const { hypervisor, runtime, agent, sources, driver } = facts.configuration.configuration;
  const [major = 0, minor = 0, patch = 0] = identity.version.split("-", 1)[0]?.split(".").map(Number) ?? [];
  return {
    Kernel: { Path: hypervisor.kernel, Parameters: hypervisor.kernel_params },
    Meta: { Version: FORMAT_VERSION },
    Image: { Path: hypervisor.image },
    Initrd: { Path: hypervisor.initrd },
    Hypervisor: {
      MachineType: hypervisor.machine_type,
      Version: facts.hypervisor.version === "" ? UNKNOWN : facts.hypervisor.version,
      Path: hypervisor.path,
      BlockDeviceDriver: hypervisor.block_device_driver,
      EntropySource: hypervisor.entropy_source,
      SharedFS: hypervisor.shared_fs,
      VirtioFSDaemon: facts.fileServer ?? hypervisor.virtio_fs_daemon,
      SocketPath: facts.isRoot ? SOCKETS[driver] : UNKNOWN,
      Msize9p: hypervisor.msize_9p,
      MemorySlots: hypervisor.memory_slots,
      HotPlugVFIO: hypervisor.hot_plug_vfio,
      ColdPlugVFIO: hypervisor.cold_plug_vfio,
      ...(driver === "qemu"
        ? { PCIeRootPort: hypervisor.pcie_root_port, PCIeSwitchPort: hypervisor.pcie_switch_port }
        : {}),
      Debug: hypervisor.enable_debug,
      SecurityInfo: {
        Rootless: hypervisor.rootless,
        DisableSeccomp: hypervisor.disable_seccomp,
        GuestHookPath: hypervisor.guest_hook_path,
        EnableAnnotations: hypervisor.enable_annotations,
        ConfidentialGuest: hypervisor.confidential_guest,
      },
    },
    Runtime: {
      Config: { Path: sources[0] ?? "" },
      Path: identity.path,
      GuestSeLinuxLabel: runtime.guest_selinux_label,
      Experimental: runtime.experimental,
      Version: {
        OCI: identity.ociVersion,
        Version: {
          Semver: identity.version,
          Commit: identity.commit,
          Major: major,
          Minor: minor,
          Patch: patch,
        },
      },
      Debug: runtime.enable_debug,
      Trace: runtime.enable_tracing,
      DisableGuestSeccomp: runtime.disable_guest_seccomp,
      DisableNewNetNs: runtime.disable_new_netns,
      SandboxCgroupOnly: runtime.sandbox_cgroup_only,
    },
    Host: {
      AvailableGuestProtections: facts.protections,
      Kernel: facts.kernelRelease,
      Architecture: GO_ARCHITECTURES[facts.architecture],
      Distro: { Name: facts.distribution.name, Version: facts.distribution.version },
      CPU: { Vendor: facts.cpu.vendor, Model: facts.cpu.model, CPUs: facts.cpu.count },
      Memory: {
        Total: facts.memory.total,
        Free: facts.memory.free,
        Available: facts.memory.available,
      },
      VMContainerCapable: capable,
      SupportVSocks: facts.devices.vhostVsock.usable,
    },
    Agent: { Debug: agent.enable_debug, Trace: agent.enable_tracing },
  };
}
