import { expect, test } from "vitest";
import type { Spec } from "../../oci/types.ts";
import { machineSize, type SizeDefaults } from "./sizing.ts";

const HOST = { cpus: 8, memoryMib: 16_384 };
const DEFAULTS: SizeDefaults = { vcpus: 1, maxVcpus: 0, memoryMib: 2048, maxMemoryMib: 0 };
const MIB = 1 << 20;

function spec(
  resources: NonNullable<Spec["linux"]>["resources"],
  annotations: Record<string, string> = {},
): Spec {
  return { ociVersion: "1.1.0", annotations, linux: { resources: resources ?? {} } };
}

const CRI = "io.kubernetes.cri.sandbox-";

test.each<[what: string, defaults: Partial<SizeDefaults>, spec: Spec, vcpus: number, memoryMib: number]>([
  ["the defaults without limits", {}, spec({}), 1, 2048],
  [
    "a container's limits on top",
    {},
    spec({ cpu: { quota: 150_000, period: 100_000 }, memory: { limit: 512 * MIB } }),
    3,
    2560,
  ],
  ["no quota as no limit", {}, spec({ cpu: { quota: -1, period: 100_000 }, memory: { limit: -1 } }), 1, 2048],
  [
    "the pod's limits instead of its first container's",
    {},
    spec(
      { memory: { limit: 64 * MIB } },
      { [`${CRI}cpu-quota`]: "200000", [`${CRI}cpu-period`]: "100000", [`${CRI}memory`]: `${1024 * MIB}` },
    ),
    3,
    3072,
  ],
  [
    "a fraction of a CPU rounded up",
    { vcpus: 0.5 },
    spec({ cpu: { quota: 20_000, period: 100_000 } }),
    1,
    2048,
  ],
  ["all CPUs for less than none", { vcpus: -1 }, spec({}), 8, 2048],
  ["no more CPUs than the host has", { vcpus: 100 }, spec({}), 8, 2048],
  ["no more CPUs than the maximum", { vcpus: 6, maxVcpus: 4 }, spec({}), 4, 2048],
  ["a limit beyond the host as none", {}, spec({ memory: { limit: 2 ** 53 } }), 1, 2048],
  [
    "no more memory than the maximum",
    { maxMemoryMib: 4096 },
    spec({ memory: { limit: 3000 * MIB } }),
    1,
    4096,
  ],
])("machineSize() takes %s", (_what, defaults, wanted, vcpus, memoryMib) => {
  const size = machineSize({ ...DEFAULTS, ...defaults }, HOST, wanted);
  expect(size).toEqual({ vcpus, maxVcpus: vcpus, memoryMib });
});

test.each([
  [{ memoryMib: 32 }, /at least 64/],
  [{ memoryMib: 20_000 }, /the host has 16384 MiB/],
])("machineSize() refuses %o", (defaults, about) => {
  expect(() => machineSize({ ...DEFAULTS, ...defaults }, HOST, spec({}))).toThrow(about);
});
