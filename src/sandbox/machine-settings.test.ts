import { describe, expect, test } from "vitest";
import { parseConfiguration } from "../config/index.ts";
import { NO_OPTIONS } from "./hypervisor/machine-options.ts";
import { machineOptions, monitorIdentity } from "./machine-settings.ts";

const read = (text: string) => parseConfiguration(text, "/c.toml", { strict: true });
const qemu = (lines: string) => read(`[hypervisor.qemu]\n${lines}\n`);

describe("machineOptions()", () => {
  test("asks for nothing that the file does not", () => {
    const none = { bandwidth: 0, bandwidthBurst: 0, operations: 0, operationsBurst: 0 };
    expect(machineOptions(qemu(""))).toEqual({ ...NO_OPTIONS, cardRates: none });
  });

  test("opens a second monitor for debugging alone", () => {
    expect(machineOptions(qemu('extra_monitor_socket = "hmp"')).extraMonitor).toBeUndefined();
    expect(machineOptions(qemu('extra_monitor_socket = "hmp"\nenable_debug = true')).extraMonitor).toBe(
      "hmp",
    );
  });

  test.each([
    ["virtio-scsi", "virtio-scsi"],
    ["virtio-blk", "virtio-blk"],
    ["virtio-blk-pci", "virtio-blk"],
  ])("attaches QEMU's disks as %s", (driver, bus) => {
    expect(machineOptions(qemu(`block_device_driver = "${driver}"`)).diskBus).toBe(bus);
  });

  test.each(["nvdimm", "virtio-mmio", "virtio-pmem"])("refuses to attach QEMU's disks as %s", (driver) => {
    expect(() => machineOptions(qemu(`block_device_driver = "${driver}"`))).toThrow(
      expect.objectContaining({ code: "unsupported", hint: expect.stringContaining("virtio-scsi") }),
    );
    expect(machineOptions(read(`[hypervisor.clh]\nblock_device_driver = "${driver}"\n`)).diskBus).toBe(
      "virtio-blk",
    );
  });
});

describe("monitorIdentity()", () => {
  test.each([
    ["root unless it is asked for", "", { kind: "root" }],
    ["a number that nobody has", "rootless = true", { kind: "own", named: undefined }],
    [
      "the user that is named, in a group of the same number",
      "rootless = true\nrootless_user = { uid = 7 }",
      { kind: "own", named: { uid: 7, gid: 7, groups: [] } },
    ],
    [
      "the user and groups that are named",
      "rootless = true\nrootless_user = { uid = 7, gid = 8, groups = [9] }",
      { kind: "own", named: { uid: 7, gid: 8, groups: [9] } },
    ],
  ])("is %s", (_what, lines, identity) => {
    expect(monitorIdentity(qemu(lines))).toEqual(identity);
  });

  test.each([
    ["root by another name", "rootless_user = { uid = 0 }", "invalid-configuration"],
    ["a user without a number", 'rootless_user = { user_name = "kata" }', "invalid-configuration"],
    ["a group of root's", "rootless_user = { uid = 7, gid = 0 }", "invalid-configuration"],
    ["what no user has", "rootless_user = { uid = 7, shell = 1 }", "invalid-configuration"],
    ["devices of the host", 'cold_plug_vfio = "root-port"', "unsupported"],
    ["devices of the host", 'hot_plug_vfio = "root-port"', "unsupported"],
  ])("refuses %s", (_what, lines, code) => {
    expect(() => monitorIdentity(qemu(`rootless = true\n${lines}`))).toThrow(
      expect.objectContaining({ code }),
    );
  });

  test("is the same for Cloud Hypervisor", () => {
    expect(monitorIdentity(read("[hypervisor.clh]\nrootless = true\nrootless_user = { uid = 7 }\n"))).toEqual(
      {
        kind: "own",
        named: { uid: 7, gid: 7, groups: [] },
      },
    );
  });

  test.each([
    ["firecracker", "jailer_path"],
    ["remote", "on other hosts"],
  ])("refuses it for %s, and says what there is instead", (driver, word) => {
    const configuration = read(`[hypervisor.${driver}]\n`);
    const hypervisor = { ...configuration.hypervisor, rootless: true };
    expect(() => monitorIdentity({ ...configuration, hypervisor })).toThrow(
      expect.objectContaining({ code: "unsupported", hint: expect.stringContaining(word) }),
    );
  });
});
