import { expect, test } from "vitest";
import { cgroupDirectories } from "./join-cgroup.ts";

test("cgroups of a process are found on a host of version 2, and on one of both", () => {
  expect(cgroupDirectories("0::/kata_overhead/web\n", true)).toEqual(["/sys/fs/cgroup/kata_overhead/web"]);
  expect(cgroupDirectories("4:cpu,cpuacct:/a/b\n1:name=systemd:/\n0::/c\nnonsense\n", false)).toEqual([
    "/sys/fs/cgroup/cpu,cpuacct/a/b",
    "/sys/fs/cgroup/systemd/",
    "/sys/fs/cgroup/unified/c",
  ]);
});
