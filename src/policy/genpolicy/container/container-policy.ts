/** The policy of one container. */
import { KataError } from "../../../kata-error.ts";
import type { Image } from "../image/image.ts";
import { normalizedName } from "../image/reference.ts";
import type { Pod, PodContainer } from "../kubernetes/pod.ts";
import type { ContainerPolicy, DevicePolicy, LinuxPolicy, SpecPolicy } from "../policy-data.ts";
import type { ContainerSettings, Settings } from "../settings.ts";
import { containerAnnotations, pauseAnnotations } from "./annotations.ts";
import { expand, type Sources, staticVariables } from "./environment.ts";
import { checkGuestPull } from "./guest-pull.ts";
import { containerMounts, pauseMounts } from "./mounts.ts";
import { containerProcess, pauseProcess } from "./process.ts";
import { layerStorages, volumeStorages } from "./storages.ts";

/** What is hidden from containers. Source: containerd, oci/spec.go. */
const MASKED_PATHS = [
  "/proc/acpi",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
];
const READONLY_PATHS = [
  "/proc/asound",
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

/** Keys that containerd passes on only if its configuration says so, with the values that the kubelet gives. */
const TERMINATION_ANNOTATIONS = {
  "^io\\.kubernetes\\.container\\.terminationMessagePath$": "^/.*$",
  "^io\\.kubernetes\\.container\\.terminationMessagePolicy$": "^(File|FallbackToLogsOnError)$",
} as const;

/** The container that holds the sandbox's namespaces. */
export function pausePolicy(pod: Pod, image: Image, settings: Settings): ContainerPolicy {
  const own = settings.pause;
  const isPrivileged = [...pod.initContainers, ...pod.containers].some(({ security }) => security.privileged);
  const spec: SpecPolicy = {
    Version: settings.ociVersion,
    Process: pauseProcess(pod, image, settings),
    Root: { Path: own.rootPath, Readonly: true },
    Mounts: pauseMounts(settings, isPrivileged),
    Annotations: pauseAnnotations(pod, settings),
    Linux: linuxPolicy(pod, own, { isPause: true, isPrivileged: false, devices: [] }),
  };
  return {
    OCI: spec,
    storages: layerStorages(image, spec.Root, settings),
    devices: [],
    sandbox_pidns: false,
    exec_commands: [],
    runtime_anno_patterns: {},
  };
}

/** @throws KataError if the pod asks for what cannot be foreseen. */
export function containerPolicy(
  pod: Pod,
  container: PodContainer,
  image: Image,
  settings: Settings,
  sources: Sources,
): ContainerPolicy {
  const own = settings.other;
  const accelerators = acceleratorCount(container, settings);
  const statics = staticVariables(container);
  const process = containerProcess(pod, container, image, settings, sources);
  checkGuestPull(pod, container, process.User, settings);
  const spec: SpecPolicy = {
    Version: settings.ociVersion,
    Process: process,
    Root: { Path: own.rootPath, Readonly: container.security.readOnlyRoot },
    Mounts: containerMounts(pod, container, image, settings),
    Annotations: containerAnnotations(pod, container, normalizedName(image.reference), settings),
    Linux: linuxPolicy(pod, own, {
      isPause: false,
      isPrivileged: container.security.privileged,
      devices: container.devicePaths,
    }),
  };
  return {
    OCI: spec,
    storages: [...layerStorages(image, spec.Root, settings), ...volumeStorages(pod, container, settings)],
    devices: [...blockDevices(container, settings), ...acceleratorDevices(accelerators, settings)],
    sandbox_pidns: pod.sharesProcesses,
    exec_commands: container.execCommands.map((command) =>
      command.map((argument) => expand(argument, statics)),
    ),
    runtime_anno_patterns:
      accelerators === 0
        ? TERMINATION_ANNOTATIONS
        : { ...TERMINATION_ANNOTATIONS, [settings.vfio.annotationKey]: settings.vfio.annotationValue },
  };
}

interface LinuxOptions {
  readonly isPause: boolean;
  readonly isPrivileged: boolean;
  readonly devices: readonly string[];
}

function linuxPolicy(pod: Pod, own: ContainerSettings, options: LinuxOptions): LinuxPolicy {
  const { isPause, isPrivileged, devices } = options;
  // The sandbox of a pod on the host's network keeps the host's name.
  const types = isPause && pod.usesHostNetwork ? ["ipc", "mount"] : ["ipc", "uts", "mount"];
  const paths = (configured: readonly string[], usual: readonly string[]) =>
    isPrivileged ? [] : configured.length > 0 ? configured : usual;
  return {
    Namespaces: types.map((Type) => ({ Type, Path: "" })),
    MaskedPaths: paths(own.maskedPaths, MASKED_PATHS),
    ReadonlyPaths: paths(own.readonlyPaths, READONLY_PATHS),
    Devices: [...devices.map((Path) => ({ Type: "", Path })), ...own.devices],
    Sysctl: { ...own.sysctl, ...pod.security.sysctls },
  };
}

function blockDevices(container: PodContainer, { vfio }: Settings): DevicePolicy[] {
  return container.devicePaths.map((path) => {
    if (path.startsWith(vfio.devicePath)) {
      throw new KataError("invalid-document", {
        operation: "read volume devices",
        object: `container ${container.name}: ${path}`,
        hint: "this path is kept for devices passed through, which are asked for by resource limits",
      });
    }
    return { id: "", type_: "", vm_path: "", container_path: path, options: [] };
  });
}

/** How many accelerators the container asks for. */
function acceleratorCount(container: PodContainer, { vfio }: Settings): number {
  const counts = vfio.resourceKeys.flatMap((key) => {
    const limit = container.limits[key];
    if (limit === undefined) return [];
    if (!/^\d{1,3}$/.test(limit)) {
      throw new KataError("invalid-document", {
        operation: "read resource limits",
        object: `container ${container.name}: ${key}: ${limit}`,
        hint: "a count of devices was expected",
      });
    }
    return [Number(limit)];
  });
  return counts.reduce((sum, count) => sum + count, 0);
}

/** The host numbers them when the pod runs, so the policy has only what comes before the number. */
function acceleratorDevices(count: number, { vfio }: Settings): DevicePolicy[] {
  const device = {
    id: "",
    type_: vfio.deviceType,
    vm_path: "",
    container_path: vfio.devicePath,
    options: [],
  };
  return Array.from({ length: count }, () => device);
}
