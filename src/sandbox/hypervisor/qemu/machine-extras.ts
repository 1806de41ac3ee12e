/**
 * QEMU's arguments for what an operator may ask for beside size and devices; pure, as all of its command line is.
 * Sources: qemu(1), `-sandbox`, `-mon`, `-action`; QEMU documentation, docs/specs/pvpanic.txt, docs/pcie.txt; intel_iommu.c.
 */
import type { MachineOptions } from "../machine-options.ts";
import type { MachineSpec } from "../types.ts";
import { flashArguments } from "./flash-chips.ts";

/** The upstream port of the switch; its downstream ports follow. */
const SWITCH = "switch0";
/** Chassis numbers of the switch's ports, away from those of root ports and bridges. */
const FIRST_SWITCH_CHASSIS = 100;
/** Source: QEMU, hw/pci-host/q35.c, `pci-hole64-size`. */
const PC_CARD_SPACE_MIB = 32 << 10;
/** Name of the socket in the sandbox's directory, which is upstream's. */
const EXTRA_MONITOR_SOCKET = "extra-monitor.sock";

/** No new processes or privileges for a monitor that the guest has taken over. */
const STRICTEST = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/** The filter of system calls. An operator's own value is passed on as it is: its author means the commas. */
export function systemCallFilter({ options }: MachineSpec): string[] {
  const own = options?.systemCallFilter ?? "";
  return ["-sandbox", own === "" ? STRICTEST : own];
}

/** Options of the board. */
export function extraBoardOptions({ options, accelerator }: MachineSpec): string[] {
  // Interrupts are remapped by the IOMMU before KVM sees them.
  return options?.iommu === true && accelerator === "kvm" ? ["kernel-irqchip=split"] : [];
}

/** What the kernel has to be told of the IOMMU: it is the containers' that want it, not the kernel for its own devices; and of cards. */
export function extraKernelParameters({ options }: MachineSpec): string[] {
  const windows = options?.cardWindows;
  return [
    ...(options?.iommu === true ? ["intel_iommu=on", "iommu=pt"] : []),
    ...(windows === undefined
      ? []
      : [`pci=hpmmiosize=${windows.memoryMib}M,hpmmioprefsize=${windows.prefetchableMib}M`]),
  ];
}

/** The PC's address space above its memory has room for 32 GiB of cards, and no more, unless it is asked for. */
function cardSpace({ machineType, hotPlugSlots, options }: MachineSpec): string[] {
  const windows = options?.cardWindows;
  if (windows === undefined || machineType !== "q35") return [];
  // The port above a switch has one, too, and what is between the windows of all is about as much again.
  const mib = 2 * windows.prefetchableMib * (hotPlugSlots + (options?.switchPorts ?? 0) + 1);
  return mib <= PC_CARD_SPACE_MIB ? [] : ["-global", `q35-pcihost.pci-hole64-size=${mib}M`];
}

/** Before all devices: they are behind the IOMMU only if it is there first. */
export function earlyArguments(spec: MachineSpec): string[] {
  const { options } = spec;
  return [
    ...flashArguments(spec),
    ...cardSpace(spec),
    // Of all of them, also those that come later.
    ...(options?.iommuPlatform === true
      ? ["-global", "virtio-device.iommu_platform=on", "-global", "virtio-pci.disable-legacy=on"]
      : []),
    ...(options?.iommu === true
      ? ["-device", "intel-iommu,intremap=on,device-iotlb=on,caching-mode=on"]
      : []),
  ];
}

export function lateArguments(spec: MachineSpec): string[] {
  const { options } = spec;
  if (options === undefined) return [];
  return [
    ...switchPorts(options),
    ...extraMonitor(options, spec.runDirectory),
    // The machine stands still at a panic, so that its memory is what it was.
    ...(options.memoryDump === undefined ? [] : ["-device", "pvpanic-pci", "-action", "panic=pause"]),
  ];
}

function switchPorts({ switchPorts: count }: MachineOptions): string[] {
  if (count === 0) return [];
  return [
    "-device",
    `pcie-root-port,id=${SWITCH}-root,chassis=${FIRST_SWITCH_CHASSIS},slot=${FIRST_SWITCH_CHASSIS}`,
    "-device",
    `x3130-upstream,id=${SWITCH},bus=${SWITCH}-root`,
    ...Array.from({ length: count }, (_, index) => {
      const number = FIRST_SWITCH_CHASSIS + 1 + index;
      return [
        "-device",
        `xio3130-downstream,id=${switchPort(index)},bus=${SWITCH},chassis=${number},slot=${number}`,
      ];
    }).flat(),
  ];
}

/** The name of a port that a device can be plugged into. */
export function switchPort(index: number): string {
  return `switchport${index}`;
}

function extraMonitor({ extraMonitor: kind }: MachineOptions, runDirectory: string): string[] {
  if (kind === undefined) return [];
  const path = `${runDirectory}/${EXTRA_MONITOR_SOCKET}`.replaceAll(",", ",,");
  const mode = kind === "hmp" ? "mode=readline" : `mode=control${kind === "qmp-pretty" ? ",pretty=on" : ""}`;
  return ["-chardev", `socket,id=extra,path=${path},server=on,wait=off`, "-mon", `chardev=extra,${mode}`];
}
