/** The drivers that this version has, by the names of their tables in the configuration. */
import type { DriverName } from "../../config/index.ts";
import { cloudHypervisor } from "./cloud-hypervisor/driver.ts";
import { firecracker } from "./firecracker/driver.ts";
import { qemu } from "./qemu/driver.ts";
import { remote } from "./remote/driver.ts";
import type { Hypervisor } from "./types.ts";

export const HYPERVISORS = { qemu, clh: cloudHypervisor, firecracker, remote } satisfies Partial<
  Record<DriverName, Hypervisor>
>;

/** Name of a driver that there is. */
export type HypervisorName = keyof typeof HYPERVISORS;

/** Whether machines of that driver run on other hosts. */
export function isElsewhere(name: HypervisorName): boolean {
  const driver: Hypervisor = HYPERVISORS[name];
  return driver.isElsewhere === true;
}

export function isHypervisorName(name: DriverName): name is HypervisorName {
  return Object.hasOwn(HYPERVISORS, name);
}
