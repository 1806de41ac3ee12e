/** What the guest's own file system tree is made of, in the order of mounting. */

export interface BootMount {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  /** `MS_*` bits of mount(2). */
  readonly flags: number;
  readonly data: string;
  /** Whether the guest can do without it: the kernel may lack the file system. */
  readonly optional?: boolean;
}

const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
const STRICT = MS_NOSUID | MS_NODEV | MS_NOEXEC;

/** The mounts of every guest; cgroups come after them. */
export const BOOT_MOUNTS: readonly BootMount[] = [
  { type: "proc", source: "proc", target: "/proc", flags: STRICT, data: "" },
  { type: "sysfs", source: "sysfs", target: "/sys", flags: STRICT, data: "" },
  { type: "devtmpfs", source: "devtmpfs", target: "/dev", flags: MS_NOSUID, data: "mode=0755" },
  {
    type: "devpts",
    source: "devpts",
    target: "/dev/pts",
    flags: MS_NOSUID | MS_NOEXEC,
    data: "mode=0620,ptmxmode=0666,gid=5",
  },
  { type: "tmpfs", source: "shm", target: "/dev/shm", flags: MS_NOSUID | MS_NODEV, data: "mode=1777" },
  { type: "mqueue", source: "mqueue", target: "/dev/mqueue", flags: STRICT, data: "", optional: true },
  { type: "tmpfs", source: "run", target: "/run", flags: MS_NOSUID | MS_NODEV, data: "mode=0755" },
  { type: "tmpfs", source: "tmp", target: "/tmp", flags: MS_NOSUID | MS_NODEV, data: "mode=1777" },
];

/** Controllers of cgroup v1 that get a hierarchy each, where the kernel has them. */
const V1_CONTROLLERS =
  "cpuset cpu cpuacct blkio memory devices freezer net_cls perf_event net_prio hugetlb pids rdma".split(" ");

/**
 * The mounts of the cgroup hierarchies.
 *
 * @param controllers text of /proc/cgroups: `name hierarchy count enabled` lines.
 */
export function cgroupMounts(unified: boolean, controllers: string): BootMount[] {
  if (unified) {
    const data = "nsdelegate,memory_recursiveprot";
    return [{ type: "cgroup2", source: "cgroup2", target: "/sys/fs/cgroup", flags: STRICT, data }];
  }
  const enabled = new Set(
    controllers
      .split("\n")
      .map((line) => line.split("\t"))
      .filter((fields) => fields[3] === "1")
      .map((fields) => fields[0]),
  );
  return [
    { type: "tmpfs", source: "cgroup", target: "/sys/fs/cgroup", flags: STRICT, data: "mode=0755" },
    ...V1_CONTROLLERS.filter((name) => enabled.has(name)).map((name) => ({
      type: "cgroup",
      source: "cgroup",
      target: `/sys/fs/cgroup/${name}`,
      flags: STRICT,
      data: name,
    })),
  ];
}

/** Links that programs expect. */
export const BOOT_LINKS: readonly (readonly [path: string, target: string])[] = [
  ["/dev/fd", "/proc/self/fd"],
  ["/dev/stdin", "/proc/self/fd/0"],
  ["/dev/stdout", "/proc/self/fd/1"],
  ["/dev/stderr", "/proc/self/fd/2"],
  ["/dev/ptmx", "pts/ptmx"],
  ["/var/run", "/run"],
];
