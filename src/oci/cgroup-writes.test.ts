import { describe, expect, test } from "vitest";
import { cgroupV1Writes } from "./cgroup-v1.ts";
import { cgroupV2Writes, cpuWeight } from "./cgroup-v2.ts";
import type { CgroupWrite } from "./cgroup-write.ts";
import type { LinuxResources } from "./types.ts";

const texts = (writes: CgroupWrite[]) => writes.map(({ file, value }) => `${file} ${value}`);
const MIB = 1 << 20;

const everything: LinuxResources = {
  memory: {
    limit: 512 * MIB,
    reservation: 256 * MIB,
    swap: 768 * MIB,
    kernel: MIB,
    kernelTCP: MIB,
    swappiness: 0,
    disableOOMKiller: true,
  },
  cpu: {
    shares: 1024,
    quota: 50_000,
    period: 100_000,
    burst: 1000,
    realtimeRuntime: 950,
    realtimePeriod: 1000,
    cpus: "0-1,3",
    mems: "0",
  },
  pids: { limit: 64 },
  blockIO: {
    weight: 500,
    leafWeight: 300,
    weightDevice: [{ major: 8, minor: 0, weight: 10, leafWeight: 20 }],
    throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1000 }],
    throttleWriteBpsDevice: [{ major: 8, minor: 0, rate: 2000 }],
    throttleReadIOPSDevice: [{ major: 8, minor: 0, rate: 30 }],
    throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 40 }],
  },
  hugepageLimits: [{ pageSize: "2MB", limit: 4 * MIB }],
  network: { classID: 0x10_0001, priorities: [{ name: "eth0", priority: 5 }] },
  rdma: { mlx5_0: { hcaHandles: 2, hcaObjects: 2000 } },
};

describe("cgroupV1Writes()", () => {
  test("writes every limit", () => {
    expect(texts(cgroupV1Writes(everything))).toEqual([
      "cpu.shares 1024",
      "cpu.cfs_period_us 100000",
      "cpu.cfs_quota_us 50000",
      "cpu.cfs_burst_us 1000",
      "cpu.rt_period_us 1000",
      "cpu.rt_runtime_us 950",
      "cpuset.cpus 0-1,3",
      "cpuset.mems 0",
      "memory.limit_in_bytes 536870912",
      "memory.memsw.limit_in_bytes 805306368",
      "memory.soft_limit_in_bytes 268435456",
      "memory.kmem.limit_in_bytes 1048576",
      "memory.kmem.tcp.limit_in_bytes 1048576",
      "memory.swappiness 0",
      "memory.oom_control 1",
      "pids.max 64",
      "blkio.weight 500",
      "blkio.leaf_weight 300",
      "blkio.weight_device 8:0 10",
      "blkio.leaf_weight_device 8:0 20",
      "blkio.throttle.read_bps_device 8:0 1000",
      "blkio.throttle.write_bps_device 8:0 2000",
      "blkio.throttle.read_iops_device 8:0 30",
      "blkio.throttle.write_iops_device 8:0 40",
      "hugetlb.2MB.limit_in_bytes 4194304",
      "hugetlb.2MB.rsvd.limit_in_bytes 4194304",
      "net_cls.classid 1048577",
      "net_prio.ifpriomap eth0 5",
      "rdma.max mlx5_0 hca_handle=2 hca_object=2000",
    ]);
  });

  test("raises memory+swap before memory and lowers it after", () => {
    const resources: LinuxResources = { memory: { limit: 200, swap: 300 } };
    expect(texts(cgroupV1Writes(resources, { memory: 100n }))).toEqual([
      "memory.memsw.limit_in_bytes 300",
      "memory.limit_in_bytes 200",
    ]);
    expect(texts(cgroupV1Writes(resources, { memory: 400n }))).toEqual([
      "memory.limit_in_bytes 200",
      "memory.memsw.limit_in_bytes 300",
    ]);
  });

  test("takes the swap limit away with the memory limit", () => {
    expect(texts(cgroupV1Writes({ memory: { limit: -1 } }, { memory: 100n }))).toEqual([
      "memory.memsw.limit_in_bytes -1",
      "memory.limit_in_bytes -1",
    ]);
  });

  test("has no unified files", () => {
    expect(() => cgroupV1Writes({ unified: { "memory.high": "1" } })).toThrow(/no unified/);
  });
});

describe("cgroupV2Writes()", () => {
  test("writes every limit that there is", () => {
    expect(texts(cgroupV2Writes({ ...everything, unified: { "memory.high": "max" } }))).toEqual([
      "cpu.weight 100",
      "cpu.max 50000 100000",
      "cpu.max.burst 1000",
      "cpuset.cpus 0-1,3",
      "cpuset.mems 0",
      "memory.swap.max 268435456",
      "memory.max 536870912",
      "memory.low 268435456",
      "pids.max 64",
      "io.bfq.weight 500",
      "io.bfq.weight 8:0 10",
      "io.max 8:0 rbps=1000",
      "io.max 8:0 wbps=2000",
      "io.max 8:0 riops=30",
      "io.max 8:0 wiops=40",
      "hugetlb.2MB.max 4194304",
      "hugetlb.2MB.rsvd.max 4194304",
      "rdma.max mlx5_0 hca_handle=2 hca_object=2000",
      "memory.high max",
    ]);
  });

  test.each<[string, LinuxResources, string[]]>([
    ["no limit for memory", { memory: { limit: -1 } }, ["memory.swap.max max", "memory.max max"]],
    ["swap equal to memory", { memory: { limit: 5, swap: 5 } }, ["memory.swap.max 0", "memory.max 5"]],
    ["a quota alone", { cpu: { quota: 20_000 } }, ["cpu.max 20000 100000"]],
    ["no quota", { cpu: { quota: -1, period: 50_000 } }, ["cpu.max max 50000"]],
    ["an idle group with shares", { cpu: { idle: 1, shares: 1024 } }, ["cpu.idle 1"]],
    ["no process limit", { pids: { limit: -1 } }, ["pids.max max"]],
    ["a process limit of an old writer", { pids: { limit: 0 } }, ["pids.max max"]],
    ["a 64-bit limit", { memory: { limit: 9_223_372_036_854_771_712n } }, ["memory.max 9223372036854771712"]],
    ["zeros, which leave what is there", { memory: { limit: 0, swap: 0 }, cpu: { shares: 0, quota: 0 } }, []],
  ])("writes %s", (_, resources, expected) => {
    expect(texts(cgroupV2Writes(resources))).toEqual(expected);
  });

  test("falls back to the other block weight", () => {
    expect(cgroupV2Writes({ blockIO: { weight: 1000 } })).toEqual([
      {
        controller: "io",
        file: "io.bfq.weight",
        value: "1000",
        otherwise: { controller: "io", file: "io.weight", value: "10000", optional: true },
      },
    ]);
  });

  test.each<[string, LinuxResources, RegExp]>([
    ["swap below memory", { memory: { limit: 10, swap: 5 } }, /at least the memory limit/],
    ["swap without memory", { memory: { swap: 5 } }, /needs a memory limit/],
    ["a block weight out of range", { blockIO: { weight: 5 } }, /10 to 1000/],
    ["a page size that is a path", { hugepageLimits: [{ pageSize: "../x", limit: 1 }] }, /2MB/],
    ["cpus that are no list", { cpu: { cpus: "0\n" } }, /list such as/],
    ["a unified file that is a path", { unified: { "../memory.max": "1" } }, /unified file/],
    ["a unified file that moves processes", { unified: { "cgroup.procs": "1" } }, /unified file/],
  ])("refuses %s", (_, resources, message) => {
    expect(() => cgroupV2Writes(resources)).toThrow(message);
  });
});

test.each([
  [0, 1],
  [2, 1],
  [1024, 100],
  [262_144, 10_000],
  [1 << 30, 10_000],
])("cpuWeight() maps %d shares to %d", (shares, weight) => {
  expect(cpuWeight(shares)).toBe(weight);
});

test("cpuWeight() never falls as shares grow", () => {
  let last = 0;
  for (let shares = 1; shares <= 262_144; shares += 97) {
    const weight = cpuWeight(shares);
    expect(weight).toBeGreaterThanOrEqual(last);
    last = weight;
  }
});
