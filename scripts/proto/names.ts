/** What things of a .proto file are called in TypeScript. */

/** The module of a file where its own name would say too little or be another's. */
const MODULES: Readonly<Record<string, string>> = {
  "cgroups/cgroup1/stats/metrics.proto": "cgroups-v1",
  "cgroups/cgroup2/stats/metrics.proto": "cgroups-v2",
  "containerd/api/events/container.proto": "container-events",
  "containerd/api/events/content.proto": "content-events",
  "containerd/api/events/image.proto": "image-events",
  "containerd/api/events/namespace.proto": "namespace-events",
  "containerd/api/events/sandbox.proto": "sandbox-events",
  "containerd/api/events/snapshot.proto": "snapshot-events",
  "containerd/api/events/task.proto": "task-events",
  "containerd/api/types/transfer/streaming.proto": "transfer-data",
  "containerd/api/runtime/sandbox/v1/sandbox.proto": "sandbox-api",
  "containerd/api/runtime/task/v2/shim.proto": "task-v2",
  "containerd/api/runtime/task/v3/shim.proto": "task-v3",
  "containerd/api/services/sandbox/v1/sandbox.proto": "sandbox-store",
  "containerd/api/services/ttrpc/events/v1/events.proto": "events",
  "containerd/api/types/runc/options/oci.proto": "runc-options",
  "containerd/api/types/runtimeoptions/v1/api.proto": "runtime-options",
};

/** The generated module of a .proto file, without its ending. */
export function moduleName(path: string): string {
  return MODULES[path] ?? path.slice(path.lastIndexOf("/") + 1, -".proto".length).replaceAll("_", "-");
}

/** `container_id` → `containerId`; what has no underscore stays as it is. */
export function fieldName(name: string): string {
  return name.replace(/_([A-Za-z0-9])/g, (_match, next: string) => next.toUpperCase());
}

/** `VolumeUsage.Unit` → `VolumeUsageUnit`. */
export function typeName(name: string): string {
  return name.replaceAll(".", "");
}

/** `OnlineCPUMem` → `onlineCPUMem`. */
export function lowerFirst(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}
