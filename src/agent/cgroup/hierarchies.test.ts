import { expect, test } from "vitest";
import { parseMountInfo } from "../../sys/mountinfo.ts";
import { findCgroups } from "./hierarchies.ts";

const v1 = (path: string, options: string) =>
  `30 25 0:26 / /sys/fs/cgroup/${path} rw,relatime - cgroup cgroup rw,${options}\n`;
const V2 = "36 25 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";

test("findCgroups() takes the hierarchies of version 1 on a hybrid host, each controller once", () => {
  const text =
    v1("systemd", "xattr,name=systemd") +
    V2 +
    v1("cpu,cpuacct", "cpu,cpuacct") +
    v1("memory", "memory") +
    v1("again", "memory");
  expect(findCgroups(parseMountInfo(text))).toEqual({
    version: 1,
    hierarchies: [
      {
        name: "cpu,cpuacct",
        mountPoint: "/sys/fs/cgroup/cpu,cpuacct",
        controllers: ["cpu", "cpuacct"],
      },
      { name: "memory", mountPoint: "/sys/fs/cgroup/memory", controllers: ["memory"] },
    ],
  });
});

test("findCgroups() takes version 2 where it is alone", () => {
  expect(findCgroups(parseMountInfo(V2))).toEqual({ version: 2, mountPoint: "/sys/fs/cgroup/unified" });
});

test("findCgroups() says so when nothing is mounted", () => {
  expect(() => findCgroups([])).toThrow(expect.objectContaining({ code: "unavailable" }));
});
