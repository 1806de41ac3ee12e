/** Looks at the host. Nothing is changed; what cannot be found out becomes a fact too. */
import { type Configuration, defaultConfiguration, VIRTIOFSD_PATHS } from "../../config/index.ts";
import { describeError, hasErrno, KataError } from "../../kata-error.ts";
import { chooseAccelerator } from "../../sandbox/hypervisor/accelerator.ts";
import { loadConfiguration } from "../../sandbox/load-configuration.ts";
import {
  exists,
  O_RDONLY,
  O_RDWR,
  open,
  read,
  readTextFileIfExists,
  S_IFMT,
  S_IFREG,
  stat,
} from "../../sys/files.ts";
import { uname } from "../../sys/host.ts";
import { kernel } from "../../sys/kernel.ts";
import { parseCpuInfo } from "./cpu-info.ts";
import type {
  ConfigurationFact,
  DeviceFact,
  FileFact,
  HostFacts,
  HypervisorFact,
  KernelFormat,
} from "./host-facts.ts";
import { KERNEL_HEAD_BYTES, kernelFormat } from "./kernel-format.ts";
import { programVersion, versionFailure } from "./program-version.ts";
import { parseCgroupLayout, parseFilesystems, parseMemoryInfo, parseOsRelease } from "./system-files.ts";

export interface FactsRequest {
  /** `--config`; empty if it was not given. */
  readonly configurationFile: string;
  readonly environment: Readonly<Record<string, string>>;
}

export async function gatherFacts({ configurationFile, environment }: FactsRequest): Promise<HostFacts> {
  const configuration = readConfiguration(configurationFile, environment.KATA_CONF_FILE ?? "");
  const { hypervisor } = configuration.configuration;
  const [accelerator, monitor] = await Promise.all([chooseAccelerator(), askHypervisor(hypervisor.path)]);
  const text = (path: string) => readTextFileIfExists(path) ?? "";
  const kernelFile = fileFact(hypervisor.kernel);
  return {
    architecture: kernel().architecture,
    isRoot: kernel().syscall("geteuid") === 0,
    kernelRelease: uname().release,
    distribution: parseOsRelease(text("/etc/os-release") || text("/usr/lib/os-release")),
    cpu: parseCpuInfo(text("/proc/cpuinfo")),
    memory: parseMemoryInfo(text("/proc/meminfo")),
    accelerator,
    configuration,
    hypervisor: monitor,
    kernel: { ...kernelFile, format: kernelFile.usable ? readKernelFormat(kernelFile.path) : "unknown" },
    root:
      hypervisor.image === ""
        ? { ...fileFact(hypervisor.initrd), kind: "initrd" }
        : { ...fileFact(hypervisor.image), kind: "image" },
    fileServer: findFileServer(configuration.configuration),
    devices: {
      tun: deviceFact("/dev/net/tun"),
      vhostVsock: deviceFact("/dev/vhost-vsock"),
      vhostNet: deviceFact("/dev/vhost-net"),
    },
    cgroups: parseCgroupLayout(text("/proc/self/mounts"), text("/sys/fs/cgroup/cgroup.controllers")),
    filesystems: parseFilesystems(text("/proc/filesystems")),
    containerd: findProgram("containerd", environment.PATH),
    shim: findProgram("containerd-shim-kata-v2", environment.PATH),
  };
}

/** The configuration as the shim would read it, or the defaults with the reason why it would not. */
function readConfiguration(option: string, environment: string): ConfigurationFact {
  try {
    return { kind: "read", configuration: loadConfiguration({ option, environment }) };
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    return {
      kind: error.operation === "find configuration" ? "missing" : "wrong",
      configuration: defaultConfiguration("qemu"),
      error,
    };
  }
}

async function askHypervisor(path: string): Promise<HypervisorFact> {
  const program = fileFact(path);
  if (!program.usable) return { program, version: "", error: program.why };
  try {
    return { program, version: await programVersion(path), error: "" };
  } catch (error) {
    return { program, version: "", error: versionFailure(error) };
  }
}

function fileFact(path: string): FileFact {
  if (path === "") return { usable: false, path, why: "not set" };
  try {
    using file = open(path, O_RDONLY);
    const { mode, size } = stat(`/proc/self/fd/${file.fd}`);
    if ((mode & S_IFMT) !== S_IFREG) return { usable: false, path, why: "no ordinary file" };
    if (size === 0) return { usable: false, path, why: "empty" };
    return { usable: true, path, bytes: size };
  } catch (error) {
    return { usable: false, path, why: reason(error) };
  }
}

function readKernelFormat(path: string): KernelFormat {
  using file = open(path, O_RDONLY);
  const head = new Uint8Array(KERNEL_HEAD_BYTES);
  return kernelFormat(head.subarray(0, read(file.fd, head)));
}

function deviceFact(path: string): DeviceFact {
  try {
    open(path, O_RDWR).close();
    return { usable: true };
  } catch (error) {
    return { usable: false, why: reason(error) };
  }
}

function reason(error: unknown): string {
  if (hasErrno(error, "ENOENT", "ENOTDIR", "ENXIO", "ENODEV")) return "missing";
  if (hasErrno(error, "EACCES", "EPERM")) return "no permission";
  return describeError(error);
}

function findFileServer({ hypervisor }: Configuration): string | undefined {
  if (hypervisor.virtio_fs_daemon !== "") {
    return exists(hypervisor.virtio_fs_daemon) ? hypervisor.virtio_fs_daemon : undefined;
  }
  return [...hypervisor.valid_virtio_fs_daemon_paths, ...VIRTIOFSD_PATHS].find((path) => exists(path));
}

/** Directories in a PATH that are searched. */
const MAX_PATH_ENTRIES = 64;

function findProgram(
  name: string,
  path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
): string | undefined {
  return path
    .split(":", MAX_PATH_ENTRIES)
    .filter((directory) => directory.startsWith("/"))
    .map((directory) => `${directory}/${name}`)
    .find((candidate) => exists(candidate));
}
