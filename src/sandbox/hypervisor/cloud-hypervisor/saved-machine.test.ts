import { expect, test } from "vitest";
import type { MachineSpec } from "../types.ts";
import { fingerprint, withVsock } from "./saved-machine.ts";

test.each([
  ["rootless is set", { user: { uid: 7, gid: 7, groups: [], directory: "/run/user/7/kata-s" } }],
  ["enable_hugepages is set", { hugePages: true }],
  ["enable_virtio_mem is set", { memoryGrowth: { kind: "virtio-mem", maxMemoryMib: 512 } }],
  ["a confidential guest's memory is its own", { confidential: { kind: "secure-execution" } }],
] as const)("a machine is not saved, and the reason is told: %s", (reason, changes) => {
  const spec: Partial<MachineSpec> = { devices: [], ...changes };
  expect(fingerprint(spec as MachineSpec)).toEqual({ kind: "unsupported", reason });
});

test("a saved machine goes on with a vsock of its own, and all else as it was", () => {
  const config = {
    cpus: { boot_vcpus: 1 },
    vsock: { cid: 3, socket: "/run/template/clh.sock", iommu: false },
  };
  expect(withVsock(config, "/run/pod/clh.sock")).toEqual({
    cpus: { boot_vcpus: 1 },
    vsock: { cid: 3, socket: "/run/pod/clh.sock", iommu: false },
  });
});

test.each([{}, { vsock: null }, { vsock: [] }, { vsock: "x" }])(
  "a saved machine of %j is refused",
  (config) => {
    expect(() => withVsock(config, "/s")).toThrow(expect.objectContaining({ code: "malformed-message" }));
  },
);
