/** Looks at the host. Nothing is changed; what cannot be found out becomes a fact too. */
import { type Configuration, defaultConfiguration, VIRTIOFSD_PATHS } from "../../config/index.ts";
import { describeError, KataError } from "../../kata-error.ts";
import { chooseAccelerator } from "../../sandbox/hypervisor/accelerator.ts";
import { loadConfiguration } from "../../sandbox/load-configuration.ts";
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { uname } from "../../sys/host.ts";
import { kernel } from "../../sys/kernel.ts";
import { CLASSIC_MODULES } from "./classic-findings.ts";
import { parseCpuInfo } from "./cpu-info.ts";
import {
  type Architecture,
  type ConfigurationFact,
  type FileFact,
  type HostFacts,
  type HypervisorFact,
  QEMU_PROGRAMS,
} from "./host-facts.ts";
import {
  deviceFact,
  existsIn,
  fileFact,
  type HostRoot,
  headIn,
  snapshotRoot,
  THIS_HOST,
  textIn,
} from "./host-root.ts";
import { KERNEL_HEAD_BYTES, kernelFormat } from "./kernel-format.ts";
import { readPlatform } from "./platform.ts";
import { versionFailure } from "./program-version.ts";
import { guestProtections } from "./protections.ts";
import { rememberedVersion } from "./remembered-version.ts";
import {
  snapshotAccelerator,
  snapshotArchitecture,
  snapshotConfiguration,
  snapshotKernelRelease,
  versionInProgram,
} from "./snapshot.ts";
import { parseCgroupLayout, parseFilesystems, parseMemoryInfo, parseOsRelease } from "./system-files.ts";

export interface FactsRequest {
  /** `--config`; empty if it was not given. */
  readonly configurationFile: string;
  readonly environment: Readonly<Record<string, string>>;
  /** `--root`: a snapshot of another host; empty for this one. */
  readonly root: string;
}

/** @throws KataError `system-call` if the snapshot's directory is none. */
export async function gatherFacts(request: FactsRequest): Promise<HostFacts> {
  if (request.root === "") return await gather(THIS_HOST, request);
  using snapshot = snapshotRoot(request.root);
  return await gather(snapshot, request);
}

async function gather(host: HostRoot, { configurationFile, environment }: FactsRequest): Promise<HostFacts> {
  const isSnapshot = host.directory !== undefined;
  const text = (path: string) => textIn(host, path) ?? "";
  const cpu = parseCpuInfo(text("/proc/cpuinfo"));
  const architecture = isSnapshot ? snapshotArchitecture(host, cpu) : kernel().architecture;
  const configuration = isSnapshot
    ? snapshotConfiguration(host, configurationFile)
    : readConfiguration(configurationFile, environment.KATA_CONF_FILE ?? "");
  const { hypervisor } = configuration.configuration;
  const [accelerator, monitor] = await Promise.all([
    isSnapshot ? snapshotAccelerator(host, cpu, architecture) : chooseAccelerator(),
    configuration.configuration.driver === "remote"
      ? askRemoteHypervisor(host, hypervisor.remote_hypervisor_socket)
      : askHypervisor(host, monitorPath(configuration, architecture)),
  ]);
  const kernelFile = fileFact(host, hypervisor.kernel);
  const path = isSnapshot ? undefined : environment.PATH;
  return {
    snapshot: host.directory,
    architecture,
    platform: readPlatform(host, cpu),
    // Of a snapshot it does not matter who looks at it.
    isRoot: isSnapshot || kernel().syscall("geteuid") === 0,
    kernelRelease: isSnapshot ? snapshotKernelRelease(host) : uname().release,
    distribution: parseOsRelease(text("/etc/os-release") || text("/usr/lib/os-release")),
    cpu,
    memory: parseMemoryInfo(text("/proc/meminfo")),
    accelerator,
    configuration,
    hypervisor: monitor,
    kernel: { ...kernelFile, format: kernelFormatOf(host, kernelFile) },
    root:
      hypervisor.image === ""
        ? { ...fileFact(host, hypervisor.initrd), kind: "initrd" }
        : { ...fileFact(host, hypervisor.image), kind: "image" },
    fileServer: findFileServer(host, configuration.configuration),
    jailer: hypervisor.jailer_path === "" ? undefined : fileFact(host, hypervisor.jailer_path),
    diskMaker: findProgram(host, "mkfs.ext4"),
    devices: {
      tun: deviceFact(host, "/dev/net/tun"),
      vhostVsock: deviceFact(host, "/dev/vhost-vsock"),
      vhostNet: deviceFact(host, "/dev/vhost-net"),
    },
    cgroups: parseCgroupLayout(text("/proc/self/mounts"), text("/sys/fs/cgroup/cgroup.controllers")),
    modules: new Set(CLASSIC_MODULES.filter((name) => existsIn(host, `/sys/module/${name}`))),
    protections: guestProtections(host, cpu),
    filesystems: parseFilesystems(text("/proc/filesystems")),
    containerd: findProgram(host, "containerd", path),
    shim: findProgram(host, "containerd-shim-kata-v2", path),
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

/** What would be run; without a configuration, the QEMU of the host's own architecture. */
function monitorPath({ kind, configuration }: ConfigurationFact, architecture: Architecture): string {
  return kind === "read" ? configuration.hypervisor.path : `/usr/bin/${QEMU_PROGRAMS[architecture]}`;
}

async function askHypervisor(host: HostRoot, path: string): Promise<HypervisorFact> {
  const program = fileFact(host, path);
  if (!program.usable) return { program, version: "", error: program.why };
  if (host.directory !== undefined) return { program, version: versionInProgram(host, path), error: "" };
  try {
    return { program, version: await rememberedVersion(path), error: "" };
  } catch (error) {
    return { program, version: "", error: versionFailure(error) };
  }
}

/** How long a service on this host may take to tell its version, ms. */
const SERVICE_DEADLINE_MS = 5000;

/** The service's socket stands for its program. */
async function askRemoteHypervisor(host: HostRoot, socket: string): Promise<HypervisorFact> {
  const missing = { usable: false, path: socket, why: "missing" } as const;
  const there = { usable: true, path: socket, bytes: 0 } as const;
  if (!existsIn(host, socket)) return { program: missing, version: "", error: missing.why };
  if (host.directory !== undefined) return { program: there, version: "", error: "" };
  const { remoteVersion } = await import("../../sandbox/hypervisor/remote/remote-service.ts");
  const what = { operation: "ask for the version", object: socket };
  try {
    const asking = remoteVersion({ socket, timeoutMs: SERVICE_DEADLINE_MS });
    return {
      program: there,
      version: await withDeadline(loop, SERVICE_DEADLINE_MS, what, asking),
      error: "",
    };
  } catch (error) {
    const errno = error instanceof KataError ? error.errno : undefined;
    return { program: there, version: "", error: errno ?? describeError(error) };
  }
}

function kernelFormatOf(host: HostRoot, file: FileFact) {
  return file.usable ? kernelFormat(headIn(host, file.path, KERNEL_HEAD_BYTES)) : "unknown";
}

function findFileServer(host: HostRoot, { hypervisor }: Configuration): string | undefined {
  if (hypervisor.virtio_fs_daemon !== "") {
    return existsIn(host, hypervisor.virtio_fs_daemon) ? hypervisor.virtio_fs_daemon : undefined;
  }
  return [...hypervisor.valid_virtio_fs_daemon_paths, ...VIRTIOFSD_PATHS].find((path) =>
    existsIn(host, path),
  );
}

/** Directories in a PATH that are searched. */
const MAX_PATH_ENTRIES = 64;

/** Where `name` is; undefined if it is nowhere in `path`. */
export function findProgram(
  host: HostRoot,
  name: string,
  path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
): string | undefined {
  return path
    .split(":", MAX_PATH_ENTRIES)
    .filter((directory) => directory.startsWith("/"))
    .map((directory) => `${directory}/${name}`)
    .find((candidate) => existsIn(host, candidate));
}
