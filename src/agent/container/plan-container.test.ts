import { describe, expect, test } from "vitest";
import type { Linux, Process, Spec } from "../../oci/types.ts";
import type { VisibleCgroup } from "./cgroup-mount.ts";
import { planContainer } from "./plan-container.ts";

const CLONE_NEWCGROUP = 0x200_0000;
const NO_SHARED = { ipc: undefined, uts: undefined, pid: undefined };
const UNIFIED: VisibleCgroup = { version: 2, directory: "/sys/fs/cgroup/c" };
const SPLIT: VisibleCgroup = { version: 1, hierarchies: [] };

function spec(linux: Partial<Linux> = {}, process: Partial<Process> = {}): Spec {
  return {
    ociVersion: "1.2.0",
    root: { path: "/rootfs" },
    process: { user: { uid: 0, gid: 0 }, args: ["true"], cwd: "/", ...process },
    linux: { namespaces: [{ type: "mount" }, { type: "pid" }], ...linux },
  };
}

const limit = { type: "RLIMIT_NOFILE", soft: 1, hard: 1 };
const plan = (of: Spec, cgroup: VisibleCgroup = UNIFIED) => planContainer("c", of, NO_SHARED, cgroup);

describe("planContainer()", () => {
  // Each of these would change what a container may do or see; none is passed over.
  const refused: [string, Spec, string][] = [
    ["netDevices", spec({ netDevices: { eth0: {} } }), "netDevices"],
    ["memoryPolicy", spec({ memoryPolicy: { mode: "MPOL_BIND", nodes: "0" } }), "memoryPolicy"],
    ["timeOffsets", spec({ timeOffsets: { boottime: { secs: 1 } } }), "timeOffsets"],
    ["intelRdt", spec({ intelRdt: { l3CacheSchema: "L3:0=f" } }), "intelRdt"],
    ["a time namespace", spec({ namespaces: [{ type: "mount" }, { type: "time" }] }), "time namespaces"],
    [
      "a namespace by its path",
      spec({ namespaces: [{ type: "mount" }, { type: "network", path: "/proc/1/ns/net" }] }),
      "joining a network namespace",
    ],
    ["no mount namespace", spec({ namespaces: [] }), "mount namespace of its own"],
    ["a namespace twice", spec({ namespaces: [{ type: "mount" }, { type: "mount" }] }), "given twice"],
    ["flags of a personality", spec({ personality: { domain: "LINUX", flags: ["X"] } }), "personality flags"],
    ["a relative masked path", spec({ maskedPaths: ["proc/kcore"] }), "masked path"],
    ["a CPU list that is none", spec({}, { execCPUAffinity: { initial: "0-" } }), "it is numbers and ranges"],
    ["a limit twice", spec({}, { rlimits: [limit, limit] }), "given twice"],
  ];
  test.each(refused)("refuses %s", (_, of, message) => {
    expect(() => plan(of)).toThrow(message);
  });

  test("gives a container of the unified hierarchy a cgroup namespace, and lets execs join it", () => {
    const unified = plan(spec());
    expect(unified.init.ownCgroupNamespace).toBe(true);
    expect(unified.execNamespaces & CLONE_NEWCGROUP).toBe(CLONE_NEWCGROUP);
    // It is made by the child, which is in its cgroup by then.
    expect(unified.cloneFlags & CLONE_NEWCGROUP).toBe(0);
    expect(plan(spec(), SPLIT).init.ownCgroupNamespace).toBe(false);
  });

  test("labels the file systems that have no labels of their own", () => {
    const mounts = ["tmpfs", "proc", "sysfs", "mqueue", "devpts"].map((type) => ({
      destination: `/${type}`,
      type,
      source: type,
    }));
    const { rootfs } = plan({
      ...spec({ mountLabel: "system_u:object_r:container_file_t:s0" }),
      mounts,
    }).init;
    const labelled = rootfs.mounts.filter(
      ({ source }) =>
        source.kind === "filesystem" &&
        source.parameters.some(([name, value]) => name === "context" && value),
    );
    expect(labelled.map(({ destination }) => destination)).toEqual(["/tmpfs", "/devpts"]);
  });

  test("works out how a process is scheduled", () => {
    const { scheduling } = plan(
      spec(
        { personality: { domain: "LINUX32" } },
        {
          scheduler: { policy: "SCHED_FIFO", priority: 10, flags: ["SCHED_FLAG_RESET_ON_FORK"] },
          ioPriority: { class: "IOPRIO_CLASS_IDLE" },
          execCPUAffinity: { initial: "0-1", final: "64" },
        },
      ),
    ).init.process;
    const attributes = new DataView(scheduling.scheduler?.buffer ?? new ArrayBuffer(0));
    expect(
      [0, 4, 8, 20].map((offset) => attributes.getUint32(offset, true)),
      "size, policy, flags, priority",
    ).toEqual([56, 1, 1, 10]);
    expect([...(scheduling.initialCpus ?? [])]).toEqual([3, 0, 0, 0, 0, 0, 0, 0]);
    expect([...(scheduling.finalCpus ?? [])]).toEqual([...Array(8).fill(0), 1, ...Array(7).fill(0)]);
    expect([scheduling.ioPriority, scheduling.personality]).toEqual([3 << 13, 8]);
  });
});
