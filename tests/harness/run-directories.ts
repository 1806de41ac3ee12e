/** Where containerd, Kata Containers and ip-netns(8) keep what a running sandbox needs, outside of an instance's directory. */
export const RUN_DIRECTORIES: readonly string[] = [
  "/run/containerd/s",
  "/run/containerd/fifo",
  "/run/containerd/runc",
  "/run/vc",
  "/run/kata",
  "/run/kata-containers",
  "/run/netns",
  "/dev/shm",
];

/** Deep enough for every runtime's layout. */
export const DEEPEST_RUN_DIRECTORY = 6;

/**
 * What the first container of a machine makes and later ones use again, empty as it is: directories that hold those of
 * sandboxes, and cgroups that hold theirs, those that
 * containerd names after Kubernetes' namespace among them.
 */
export function isSharedRoom(path: string): boolean {
  return (
    /^\/run\/(kata|kata-containers|vc)(\/(shared(\/(sandboxes|direct-volumes))?|sbs|vm))?\/?$/.test(path) ||
    /^\/sys\/fs\/cgroup(\/[^/]+)?\/(kata_overhead|k8s\.io)$/.test(path)
  );
}
