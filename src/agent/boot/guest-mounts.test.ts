import { expect, test } from "vitest";
import { cgroupMounts } from "./guest-mounts.ts";

const CONTROLLERS =
  "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nmemory\t0\t5\t0\npids\t3\t1\t1\n";

test("cgroupMounts() gives each enabled controller a hierarchy when cgroup v1 is used", () => {
  expect(cgroupMounts(false, CONTROLLERS).map(({ target, data }) => [target, data])).toEqual([
    ["/sys/fs/cgroup", "mode=0755"],
    ["/sys/fs/cgroup/cpu", "cpu"],
    ["/sys/fs/cgroup/pids", "pids"],
  ]);
});

test("cgroupMounts() mounts one hierarchy when cgroup v2 is used", () => {
  expect(cgroupMounts(true, CONTROLLERS).map(({ type, target }) => [type, target])).toEqual([
    ["cgroup2", "/sys/fs/cgroup"],
  ]);
});
