/** The drivers that this version has, by the names of their tables in the configuration. */
import type { DriverName } from "../../config/index.ts";
import { cloudHypervisor } from "./cloud-hypervisor/driver.ts";
import { qemu } from "./qemu/driver.ts";
import type { Hypervisor } from "./types.ts";

export const HYPERVISORS = { qemu, clh: cloudHypervisor } satisfies Partial<Record<DriverName, Hypervisor>>;

/** Name of a driver that there is. */
export type HypervisorName = keyof typeof HYPERVISORS;

export function isHypervisorName(name: DriverName): name is HypervisorName {
  return Object.hasOwn(HYPERVISORS, name);
}
