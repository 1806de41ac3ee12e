import { describe, expect, test } from "vitest";
import { type MachineOptions, NO_OPTIONS } from "../machine-options.ts";
import type { MachineSpec } from "../types.ts";
import { flashArguments } from "./flash-chips.ts";
import {
  earlyArguments,
  extraBoardOptions,
  extraKernelParameters,
  lateArguments,
  systemCallFilter,
} from "./machine-extras.ts";

const SPEC = { accelerator: "kvm", firmware: "", runDirectory: "/run/s" } as MachineSpec;

function withOptions(options: Partial<MachineOptions>, changes: Partial<MachineSpec> = {}): MachineSpec {
  return { ...SPEC, ...changes, options: { ...NO_OPTIONS, ...options } };
}

describe("a machine for which nothing more is asked", () => {
  test.each([SPEC, withOptions({})])("has the strictest filter and nothing else", (spec) => {
    expect(systemCallFilter(spec)).toEqual([
      "-sandbox",
      "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    ]);
    const others = [earlyArguments, lateArguments, extraBoardOptions, extraKernelParameters];
    expect(others.flatMap((part) => part(spec))).toEqual([]);
  });
});

test("an operator's filter is passed on as it is", () => {
  const spec = withOptions({ systemCallFilter: "on,obsolete=deny,spawn=allow" });
  expect(systemCallFilter(spec)).toEqual(["-sandbox", "on,obsolete=deny,spawn=allow"]);
});

test("a firmware with variables is two chips, of which the machine writes to a copy", () => {
  const spec = withOptions({ firmwareVolume: "/VARS.fd" }, { firmware: "/CO,DE.fd" });
  expect(flashArguments(spec)).toEqual([
    "-drive",
    "if=pflash,format=raw,unit=0,readonly=on,file=/CO,,DE.fd",
    "-drive",
    "if=pflash,format=raw,unit=1,readonly=off,file=/run/s/flash1.fd",
  ]);
});

test("chips of an Arm board come in their order", () => {
  expect(flashArguments(withOptions({ flashes: ["/flash0", "/flash1"] }))).toEqual([
    "-drive",
    "if=pflash,format=raw,unit=0,readonly=on,file=/flash0",
    "-drive",
    "if=pflash,format=raw,unit=1,readonly=off,file=/run/s/flash1.fd",
  ]);
});

test("ports have room for the memory of large cards, and the PC for all of its ports", () => {
  const changes = { machineType: "q35", hotPlugSlots: 2 } as const;
  const small = withOptions(
    { cardWindows: { memoryMib: 32, prefetchableMib: 2048 }, switchPorts: 1 },
    changes,
  );
  expect(extraKernelParameters(small)).toEqual(["pci=hpmmiosize=32M,hpmmioprefsize=2048M"]);
  expect(earlyArguments(small)).toEqual([]);
  const large = withOptions({ cardWindows: { memoryMib: 32, prefetchableMib: 16_384 } }, changes);
  expect(earlyArguments(large)).toEqual(["-global", "q35-pcihost.pci-hole64-size=98304M"]);
  expect(earlyArguments({ ...large, machineType: "virt" })).toEqual([]);
});

test("an IOMMU is there before all devices, and the kernel uses it for containers alone", () => {
  const spec = withOptions({ iommu: true });
  expect(earlyArguments(spec)).toEqual([
    "-device",
    "intel-iommu,intremap=on,device-iotlb=on,caching-mode=on",
  ]);
  expect(extraBoardOptions(spec)).toEqual(["kernel-irqchip=split"]);
  expect(extraBoardOptions({ ...spec, accelerator: "tcg" })).toEqual([]);
  expect(extraKernelParameters(spec)).toEqual(["intel_iommu=on", "iommu=pt"]);
});

test("a switch is a root port, its upstream port and as many others as are asked for", () => {
  expect(lateArguments(withOptions({ switchPorts: 2 })).filter((word) => word !== "-device")).toEqual([
    "pcie-root-port,id=switch0-root,chassis=100,slot=100",
    "x3130-upstream,id=switch0,bus=switch0-root",
    "xio3130-downstream,id=switchport0,bus=switch0,chassis=101,slot=101",
    "xio3130-downstream,id=switchport1,bus=switch0,chassis=102,slot=102",
  ]);
});

test.each([
  ["hmp", "chardev=extra,mode=readline"],
  ["qmp", "chardev=extra,mode=control"],
  ["qmp-pretty", "chardev=extra,mode=control,pretty=on"],
] as const)("a second monitor that speaks %s listens in the sandbox's directory", (extraMonitor, monitor) => {
  expect(lateArguments(withOptions({ extraMonitor }))).toEqual([
    "-chardev",
    "socket,id=extra,path=/run/s/extra-monitor.sock,server=on,wait=off",
    "-mon",
    monitor,
  ]);
});

test("a machine whose memory is to be kept tells of a panic and stands still", () => {
  expect(lateArguments(withOptions({ memoryDump: { directory: "/dumps", paging: false } }))).toEqual([
    "-device",
    "pvpanic-pci",
    "-action",
    "panic=pause",
  ]);
});

test("all virtio devices go through what the guest lets them see, if that is asked for", () => {
  expect(earlyArguments(withOptions({ iommuPlatform: true }))).toEqual([
    ...["-global", "virtio-device.iommu_platform=on"],
    ...["-global", "virtio-pci.disable-legacy=on"],
  ]);
});
