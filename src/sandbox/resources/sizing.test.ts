import { describe, expect, test } from "vitest";
import type { LinuxResources, Spec } from "../../oci/types.ts";
import {
  grownSize,
  podLimits,
  resourceLimits,
  type SizeDefaults,
  sizeRange,
  updatedLimits,
} from "./sizing.ts";

const HOST = { cpus: 8, memoryMib: 16_384 };
const DEFAULTS: SizeDefaults = {
  vcpus: 1,
  maxVcpus: 0,
  memoryMib: 2048,
  maxMemoryMib: 0,
  isStatic: true,
  overheadVcpus: 0,
  overheadMemoryMib: 0,
  workloadVcpus: 0,
  workloadMemoryMib: 0,
  workloadMinimumMib: 0,
};
const MIB = 1 << 20;

function spec(resources: LinuxResources, annotations: Record<string, string> = {}): Spec {
  return { ociVersion: "1.1.0", annotations, linux: { resources } };
}

/** The first container of a pod with these limits; its own are none. */
function pod(cpus: number, memoryMib: number): Spec {
  const name = "io.kubernetes.cri.sandbox-";
  return spec(
    { cpu: { shares: 2 } },
    {
      [`${name}cpu-quota`]: `${cpus * 100_000}`,
      [`${name}cpu-period`]: "100000",
      [`${name}memory`]: `${memoryMib * MIB}`,
    },
  );
}

type Row = readonly [
  what: string,
  defaults: Partial<SizeDefaults>,
  spec: Spec,
  vcpus: number,
  memoryMib: number,
];

describe("a static machine", () => {
  test.each<Row>([
    ["has the defaults without limits", {}, spec({}), 1, 2048],
    [
      "has a container's limits on top",
      {},
      spec({ cpu: { quota: 150_000, period: 100_000 }, memory: { limit: 512 * MIB } }),
      3,
      2560,
    ],
    [
      "takes no quota as no limit",
      {},
      spec({ cpu: { quota: -1, period: 100_000 }, memory: { limit: -1 } }),
      1,
      2048,
    ],
    ["counts a quota without period by the kernel's", {}, spec({ cpu: { quota: 200_000 } }), 3, 2048],
    [
      "has the CPUs that shares stand for where the quota is taken",
      {},
      spec({ cpu: { quota: -1, shares: 3072 } }),
      4,
      2048,
    ],
    ["takes ordinary shares as no limit", {}, spec({ cpu: { shares: 3072 } }), 1, 2048],
    ["has the pod's limits instead of its first container's", {}, pod(2, 1024), 3, 3072],
    [
      "rounds a fraction of a CPU up",
      { vcpus: 0.5 },
      spec({ cpu: { quota: 20_000, period: 100_000 } }),
      1,
      2048,
    ],
    ["does not round noise up", { vcpus: 0.7 }, spec({ cpu: { quota: 130_000, period: 100_000 } }), 2, 2048],
    ["has all CPUs for less than none", { vcpus: -1 }, spec({}), 8, 2048],
    ["has one CPU for 0", { vcpus: 0 }, spec({}), 1, 2048],
    ["has no more CPUs than the host", { vcpus: 100 }, spec({}), 8, 2048],
    ["has no more CPUs than the maximum", { vcpus: 6, maxVcpus: 4 }, spec({}), 4, 2048],
    ["takes a limit beyond the host as none", {}, spec({ memory: { limit: 2 ** 53 } }), 1, 2048],
    [
      "has no more memory than the maximum",
      { maxMemoryMib: 4096 },
      spec({ memory: { limit: 3000 * MIB } }),
      1,
      4096,
    ],
    // Upstream's Rust runtime.
    ["has limits and overhead", { overheadVcpus: 0.2, overheadMemoryMib: 32 }, pod(2, 1024), 3, 1056],
    [
      "has the defaults and no overhead without limits",
      { overheadVcpus: 0.2, overheadMemoryMib: 32 },
      spec({}),
      1,
      2048,
    ],
    [
      "fits limit and overhead into one CPU",
      { overheadVcpus: 0.2, overheadMemoryMib: 32 },
      pod(0.5, 128),
      1,
      160,
    ],
  ])("%s", (_what, defaults, wanted, vcpus, memoryMib) => {
    const size = { vcpus, memoryMib };
    expect(sizeRange({ ...DEFAULTS, ...defaults }, HOST, wanted)).toEqual({ boot: size, most: size });
  });
});

describe("a machine by AKS's rules", () => {
  const AKS = { vcpus: 0, memoryMib: 0, workloadVcpus: 1, workloadMemoryMib: 512, workloadMinimumMib: 128 };

  test.each<Row>([
    ["has 512 MiB and one CPU without limits", AKS, spec({}), 1, 512],
    ["has the pod's limit, the guest's own memory included", AKS, pod(1, 2048), 1, 2048],
    ["has 3 CPUs for a limit of 2.5", AKS, pod(2.5, 4096), 3, 4096],
    ["has one CPU for a fraction", AKS, pod(0.1, 256), 1, 256],
    ["has at least 128 MiB", AKS, pod(1, 64), 1, 128],
    // The rule before general availability: 256 MB and the limit, or 1792 MB for a pod without one.
    [
      "of the preview has a base and the limit",
      { ...AKS, memoryMib: 256, workloadMemoryMib: 1792 },
      pod(1, 512),
      1,
      768,
    ],
    [
      "of the preview has 2 GiB without",
      { ...AKS, memoryMib: 256, workloadMemoryMib: 1792 },
      spec({}),
      1,
      2048,
    ],
    [
      "for confidential pods has 2 GiB and the limit",
      { ...AKS, memoryMib: 2048, workloadMemoryMib: 0 },
      pod(1, 1024),
      1,
      3072,
    ],
  ])("%s", (_what, defaults, wanted, vcpus, memoryMib) => {
    expect(sizeRange({ ...DEFAULTS, ...defaults }, HOST, wanted).boot).toEqual({ vcpus, memoryMib });
  });
});

describe("a machine that grows", () => {
  const GROWING = { ...DEFAULTS, isStatic: false };

  test("boots with what its first container needs, and grows to what the host has", () => {
    const single = spec({ cpu: { quota: 200_000, period: 100_000 }, memory: { limit: 512 * MIB } });
    expect(sizeRange(GROWING, HOST, single)).toEqual({
      boot: { vcpus: 3, memoryMib: 2560 },
      most: { vcpus: 8, memoryMib: 16_384 },
    });
  });

  test("leaves a pod's limits to the containers that bring them", () => {
    expect(sizeRange(GROWING, HOST, pod(4, 8192)).boot).toEqual({ vcpus: 1, memoryMib: 2048 });
  });

  test("boots like every other if they are clones of one", () => {
    const single = spec({ cpu: { quota: 200_000, period: 100_000 }, memory: { limit: 512 * MIB } });
    expect(sizeRange(GROWING, HOST, single, true).boot).toEqual({ vcpus: 1, memoryMib: 2048 });
  });

  test("grows to the configured maximum only", () => {
    const { most } = sizeRange({ ...GROWING, maxVcpus: 4, maxMemoryMib: 4096 }, HOST, spec({}));
    expect(most).toEqual({ vcpus: 4, memoryMib: 4096 });
  });

  test.each([
    ["none", [], 1, 2048],
    ["three fractions that make one CPU", [0.25, 0.25, 0.5], 2, 2048],
    ["fractions that do not", [0.5, 0.6], 3, 2048],
  ])("has room for containers with %s", (_what, cpus, vcpus, memoryMib) => {
    const containers = cpus.map((each) => ({ cpus: each, memory: 0 }));
    expect(grownSize(GROWING, HOST, containers)).toEqual({ vcpus, memoryMib });
  });

  test("rounds each container's memory up, and counts a limit beyond the host as none", () => {
    const containers = [1, 100 * MIB + 1, 2 ** 60].map((memory) => ({ cpus: 0, memory }));
    expect(grownSize(GROWING, HOST, containers).memoryMib).toBe(2048 + 1 + 101);
  });
});

test.each([
  [{ memoryMib: 32 }, /at least 64/],
  [{ memoryMib: 20_000 }, /the host has 16384 MiB/],
])("a machine with %o is refused", (defaults, about) => {
  expect(() => sizeRange({ ...DEFAULTS, ...defaults }, HOST, spec({}))).toThrow(about);
});

test("podLimits() are undefined where the CRI says nothing, or nothing that is a number", () => {
  expect(podLimits(spec({}))).toBeUndefined();
  expect(podLimits(spec({}, { "io.kubernetes.cri.sandbox-memory": "1e9" }))).toBeUndefined();
});

test("updatedLimits() keep what an update does not name", () => {
  const before = { cpu: { quota: 100_000, period: 50_000 }, memory: { limit: 64 * MIB }, pids: { limit: 5 } };
  const after = updatedLimits(before, { memory: { limit: 128 * MIB } });
  expect(after).toEqual({ ...before, memory: { limit: 128 * MIB } });
  expect(resourceLimits(after)).toEqual({ cpus: 2, memory: 128 * MIB });
});
