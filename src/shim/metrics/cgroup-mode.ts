/** Which of containerd's two kinds of metrics belongs to this host. Source: cgroups(7); Linux UAPI header linux/magic.h. */
import { statfs } from "../../sys/files.ts";

const CGROUP2_SUPER_MAGIC = 0x63677270;

/** 2 where version 2 of cgroups is all there is; 1 for version 1 and for both side by side. */
export function hostCgroupVersion(): 1 | 2 {
  return statfs("/sys/fs/cgroup").type === CGROUP2_SUPER_MAGIC ? 2 : 1;
}
