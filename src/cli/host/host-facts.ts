/** What is known of this host, gathered once, for `check` and `env` to judge and to show. */
import type { Configuration } from "../../config/index.ts";
import type { KataError } from "../../kata-error.ts";
import type { AcceleratorChoice } from "../../sandbox/hypervisor/accelerator.ts";
import type { CpuInfo } from "./cpu-info.ts";
import type { Platform } from "./platform.ts";
import type { CgroupLayout, Distribution, MemoryInfo } from "./system-files.ts";

/** A file that is needed. `why` is the errno name, or a phrase. */
export type FileFact =
  | { readonly usable: true; readonly path: string; readonly bytes: number }
  | { readonly usable: false; readonly path: string; readonly why: string };

/** A device that was opened for reading and writing. */
export type DeviceFact = { readonly usable: true } | { readonly usable: false; readonly why: string };

export type ConfigurationFact =
  | { readonly kind: "read"; readonly configuration: Configuration }
  /** There is none: the defaults are what programs would be looked for by. */
  | { readonly kind: "missing"; readonly configuration: Configuration; readonly error: KataError }
  | { readonly kind: "wrong"; readonly configuration: Configuration; readonly error: KataError };

/** The virtual machine monitor. */
export interface HypervisorFact {
  readonly program: FileFact;
  /** First line that it says about its version; empty if it does not run. */
  readonly version: string;
  /** Why it does not run; empty if it does. */
  readonly error: string;
}

export type KernelFormat = "bzImage" | "ELF" | "arm64 Image" | "unknown";

export type Architecture = "x86_64" | "aarch64" | "s390x";

/** QEMU of each architecture. */
export const QEMU_PROGRAMS: Readonly<Record<Architecture, string>> = {
  x86_64: "qemu-system-x86_64",
  aarch64: "qemu-system-aarch64",
  s390x: "qemu-system-s390x",
};

export interface HostFacts {
  /** Directory of a snapshot of another host; undefined for this one, which was tried. */
  readonly snapshot: string | undefined;
  readonly architecture: Architecture;
  readonly platform: Platform;
  readonly isRoot: boolean;
  /** `uname -r` */
  readonly kernelRelease: string;
  readonly distribution: Distribution;
  readonly cpu: CpuInfo;
  readonly memory: MemoryInfo;
  readonly accelerator: AcceleratorChoice;
  readonly configuration: ConfigurationFact;
  readonly hypervisor: HypervisorFact;
  readonly kernel: FileFact & { readonly format: KernelFormat };
  /** The guest's image or initial RAM disk. */
  readonly root: FileFact & { readonly kind: "image" | "initrd" };
  /** The file server that would be used; undefined if no candidate is there. */
  readonly fileServer: string | undefined;
  /** Firecracker's jailer; undefined if none is to be used. */
  readonly jailer: FileFact | undefined;
  /** `mkfs.ext4` and where it was found. */
  readonly diskMaker: string | undefined;
  readonly devices: {
    readonly tun: DeviceFact;
    readonly vhostVsock: DeviceFact;
    readonly vhostNet: DeviceFact;
  };
  readonly cgroups: CgroupLayout;
  /** Those of {@link CLASSIC_MODULES} that the kernel has. */
  readonly modules: ReadonlySet<string>;
  /** Of {@link guestProtections}. */
  readonly protections: readonly string[];
  readonly filesystems: ReadonlySet<string>;
  /** `containerd` and where it was found; undefined if it is not in PATH. */
  readonly containerd: string | undefined;
  /** Our shim in PATH, where containerd looks for it. */
  readonly shim: string | undefined;
}
