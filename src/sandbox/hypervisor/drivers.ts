/** The drivers that this version has, by the names of their tables in the configuration. */
import type { DriverName } from "../../config/index.ts";
import { CLOUD_HYPERVISOR } from "./cloud-hypervisor/traits.ts";
import { FIRECRACKER } from "./firecracker/traits.ts";
import { qemu } from "./qemu/driver.ts";
import { REMOTE } from "./remote/traits.ts";
import type { Hypervisor, HypervisorTraits } from "./types.ts";

export const HYPERVISORS = {
  qemu,
  clh: whenUsed(CLOUD_HYPERVISOR, async () => (await import("./cloud-hypervisor/driver.ts")).cloudHypervisor),
  firecracker: whenUsed(FIRECRACKER, async () => (await import("./firecracker/driver.ts")).firecracker),
  remote: whenUsed(REMOTE, async () => (await import("./remote/driver.ts")).remote),
} satisfies Partial<Record<DriverName, Hypervisor>>;

/** A driver that costs a shim no memory before it starts a machine with it. */
function whenUsed(traits: HypervisorTraits, load: () => Promise<Hypervisor>): Hypervisor {
  return {
    ...traits,
    boot: async (...request) => await (await load()).boot(...request),
    fingerprint: async (spec) => await (await load()).fingerprint(spec),
  };
}

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
