/** Where containerd, Kata Containers and ip-netns(8) keep what a running sandbox needs, outside of an instance's directory. */
export const RUN_DIRECTORIES: readonly string[] = [
  "/run/containerd/s",
  "/run/containerd/fifo",
  "/run/vc",
  "/run/kata",
  "/run/kata-containers",
  "/run/netns",
  "/dev/shm",
];

/** Deep enough for every runtime's layout. */
export const DEEPEST_RUN_DIRECTORY = 6;
