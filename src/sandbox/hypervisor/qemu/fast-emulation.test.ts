import { expect, test } from "vitest";
import type { MachineSpec } from "../types.ts";
import { chooseFirmware } from "./fast-emulation.ts";

const SPEC = { accelerator: "tcg", machineType: "q35", firmware: "" } as MachineSpec;

test.each<[what: string, changes: Partial<MachineSpec>, isThere: boolean, firmware: string]>([
  ["the fast one for an emulated q35", {}, true, "/usr/share/qemu/qboot.rom"],
  ["QEMU's own where there is no fast one", {}, false, ""],
  ["QEMU's own with hardware virtualization", { accelerator: "kvm" }, true, ""],
  ["QEMU's own for another board", { machineType: "microvm" }, true, ""],
  ["what is configured", { firmware: "/ovmf" }, true, "/ovmf"],
])("chooseFirmware() takes %s", (_what, changes, isThere, firmware) => {
  expect(chooseFirmware({ ...SPEC, ...changes }, () => isThere)).toBe(firmware);
});
