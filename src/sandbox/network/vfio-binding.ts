/**
 * Handing a PCI card of the host to a virtual machine: it is taken from its driver and bound to vfio-pci.
 * Source: Linux Documentation/ABI/testing/sysfs-bus-pci; Documentation/driver-api/vfio.rst.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { exists, readlink, writeExisting } from "../../sys/files.ts";
import { baseName } from "../path.ts";

const SYSFS = "/sys";
const VFIO_DRIVER = "vfio-pci";

/** `0000:01:00.0`, as sysfs writes it. */
export function isPciAddress(text: string): boolean {
  return /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(text);
}

/**
 * The driver that has a card now; empty if none has it.
 *
 * @param sysfs another tree, for tests.
 * @throws KataError `not-found` if there is no such card; `unavailable` if the host cannot isolate it.
 */
export function driverOfCard(pciAddress: string, sysfs = SYSFS): string {
  const device = `${sysfs}/bus/pci/devices/${pciAddress}`;
  if (!isPciAddress(pciAddress) || !exists(device)) {
    throw new KataError("not-found", { operation: "pass PCI card to guest", object: pciAddress });
  }
  if (!exists(`${device}/iommu_group`)) {
    throw new KataError("unavailable", {
      operation: "pass PCI card to guest",
      object: `${pciAddress} is in no IOMMU group`,
      hint: "switch the IOMMU on in the firmware and on the kernel's command line (intel_iommu=on, amd_iommu=on)",
    });
  }
  return currentDriver(device);
}

function currentDriver(device: string): string {
  try {
    return baseName(readlink(`${device}/driver`));
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return "";
    throw error;
  }
}

/** Binds a card to vfio-pci. @throws KataError `unavailable` if the host has no such driver. */
export function bindToVfio(pciAddress: string, sysfs = SYSFS): void {
  const device = `${sysfs}/bus/pci/devices/${pciAddress}`;
  if (!exists(`${sysfs}/bus/pci/drivers/${VFIO_DRIVER}`)) {
    throw new KataError("unavailable", {
      operation: "pass PCI card to guest",
      object: `${pciAddress}: this host has no driver ${VFIO_DRIVER}`,
      hint: "modprobe vfio-pci",
    });
  }
  bind(device, pciAddress, VFIO_DRIVER, sysfs);
}

/** Gives a card back to the driver that it was taken from. No error if the card is gone or has it already. */
export function giveBackDriver(pciAddress: string, driver: string, sysfs = SYSFS): void {
  const device = `${sysfs}/bus/pci/devices/${pciAddress}`;
  if (!exists(device) || currentDriver(device) === driver) return;
  bind(device, pciAddress, driver, sysfs);
  // From now on the kernel chooses again.
  writeExisting(`${device}/driver_override`, "\n");
}

function bind(device: string, pciAddress: string, driver: string, sysfs: string): void {
  const old = currentDriver(device);
  if (old === driver) return;
  writeExisting(`${device}/driver_override`, driver === "" ? "\n" : driver);
  if (old !== "") writeExisting(`${device}/driver/unbind`, pciAddress);
  if (driver !== "") writeExisting(`${sysfs}/bus/pci/drivers_probe`, pciAddress);
}
