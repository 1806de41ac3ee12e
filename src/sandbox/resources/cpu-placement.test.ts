import { describe, expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import type { Logger } from "../types.ts";
import { affinityMask, CpuPlacement, formatCpuList } from "./cpu-placement.ts";
import { planVcpuGroup } from "./vcpu-group.ts";

const ignore = () => undefined;

function bench(pinning: boolean) {
  const told: string[] = [];
  const warnings: string[] = [];
  const machine = { threads: [11, 12] };
  const logger: Logger = {
    debug: ignore,
    info: ignore,
    warn: (text) => void warnings.push(text),
    error: ignore,
  };
  const placement = new CpuPlacement({
    threads: async () => machine.threads,
    group: {
      add: (threads) => void told.push(`threads ${threads}`),
      setCpus: (list) => void told.push(`cpus ${list}`),
    },
    pinning,
    hostCpus: [0, 1, 2, 3],
    setAffinity: (thread, cpus) => {
      if (thread === 99)
        throw new KataError("system-call", { operation: "set", object: "it", errno: "ESRCH" });
      told.push(`${thread} on ${cpus}`);
    },
    logger,
  });
  return { placement, told, warnings, machine };
}

describe("CpuPlacement", () => {
  test("gives the machine the CPUs of all its containers", async () => {
    const { placement, told } = bench(false);
    await placement.follow("a", { cpu: { cpus: "2-3" } });
    await placement.follow("b", { cpu: { cpus: "0,3" } });
    await placement.follow("c", {});
    await placement.forget("a");
    await placement.forget("a");
    await placement.follow("b", { cpu: { cpus: "" } });
    expect(told.filter((line) => line.startsWith("cpus"))).toEqual([
      "cpus 2-3",
      "cpus 0,2-3",
      "cpus 0,3",
      "cpus ",
    ]);
    expect(told.some((line) => line.includes(" on "))).toBe(false);
  });

  test("pins each CPU while there are as many, and lets go of them when there are not", async () => {
    const { placement, told, machine } = bench(true);
    await placement.follow("a", { cpu: { cpus: "1,3" } });
    expect(told.splice(0)).toEqual(["threads 11,12", "cpus 1,3", "11 on 1", "12 on 3"]);
    machine.threads = [11, 12, 99];
    await placement.refresh();
    expect(told.splice(0)).toEqual(["threads 11,12,99", "cpus 1,3", "11 on 1,3", "12 on 1,3"]);
    await placement.refresh();
    expect(told.splice(0)).toEqual(["threads 11,12,99", "cpus 1,3"]);
    machine.threads = [11, 12];
    await placement.refresh();
    await placement.forget("a");
    expect(told.slice(-4)).toEqual(["threads 11,12", "cpus ", "11 on 0,1,2,3", "12 on 0,1,2,3"]);
  });

  test("warns and goes on when the machine does not tell", async () => {
    const { placement, warnings, machine } = bench(true);
    Object.defineProperty(machine, "threads", {
      get: () => {
        throw new KataError("unavailable", { operation: "ask", object: "QEMU" });
      },
    });
    await placement.refresh();
    expect(warnings).toEqual(["the machine's CPUs are where the kernel puts them"]);
  });
});

test.each([
  [[], ""],
  [[5], "5"],
  [[0, 1, 2, 5, 7, 8], "0-2,5,7-8"],
])("formatCpuList(%j) is %j", (cpus, list) => {
  expect(formatCpuList(cpus)).toBe(list);
});

test("affinityMask() has whole words with a bit for each CPU", () => {
  expect(affinityMask([0, 9, 64])).toEqual(Uint8Array.from([1, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]));
});

describe("planVcpuGroup()", () => {
  const V1 = new Map([
    ["cpu", "/c/cpu,cpuacct"],
    ["cpuacct", "/c/cpu,cpuacct"],
    ["cpuset", "/c/cpuset"],
  ]);
  const V2 = new Map([["unified", "/c"]]);
  const request = {
    podPath: "/kubepods/pod1/kata_c1",
    helperPath: "/kata_overhead/id",
    limits: { cpus: 1.5, memory: 0 },
  };

  test.each([
    [
      "version 1 beside the containers",
      V1,
      false,
      ["/c/cpu,cpuacct/kubepods/pod1/kata_c1", "/c/cpuset/kubepods/pod1/kata_c1"],
      "/c/cpuset/kubepods/pod1/kata_c1",
      undefined,
    ],
    [
      "version 1 with all in one",
      V1,
      true,
      ["/c/cpuset/kubepods/pod1/kata_c1"],
      "/c/cpuset/kubepods/pod1/kata_c1",
      undefined,
    ],
    [
      "version 2 in the overhead, limited",
      V2,
      false,
      ["/c/kata_overhead/id/vcpus"],
      "/c/kata_overhead/id/vcpus",
      "150000 100000",
    ],
    ["version 2 with all in one", V2, true, [], "/c/kubepods/pod1/kata_c1", undefined],
    ["a host without them", new Map<string, string>(), false, [], undefined, undefined],
  ] as const)("puts the threads into %s", (_what, mounts, sandboxCgroupOnly, directories, cpuset, cpuMax) => {
    const plan = planVcpuGroup({ ...request, mounts, sandboxCgroupOnly });
    expect(plan.directories.map(({ mount, path }) => mount + path)).toEqual(directories);
    expect(plan).toMatchObject({ cpuset, cpuMax });
  });
});
