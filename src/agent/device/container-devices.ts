/**
 * Devices of the host that have been plugged in for one container: the spec knows them by the host's numbers, the guest's
 * kernel has given them its own.
 * Source: upstream's agent protocol, message Device.
 */
import { KataError } from "../../kata-error.ts";
import type { LinuxDevice, LinuxDeviceCgroup, Spec } from "../../oci/types.ts";
import { stat } from "../../sys/files.ts";
import { capacityOf, namedBlockNode, SCSI_MODULES, scsiBlockNode, virtioBlockNode } from "./block-device.ts";

export interface PluggedDevice {
  /** `blk`, `mmioblk`, `nvdimm`, `scsi`, `vfio-pci` or `vfio-pci-gk`. */
  readonly type: string;
  /** PCI path or SCSI address; of cards, what the host calls them. */
  readonly id: string;
  /** Node in the guest, where the host knows it. */
  readonly guestPath: string;
  /** The path in the spec's devices. */
  readonly containerPath: string;
  /** `capacity=BYTES` of a disk whose node was there before; `ADDRESS-ON-HOST=PCI-PATH` of cards. */
  readonly options?: readonly string[];
}

export interface DeviceNumbers {
  readonly major: number;
  readonly minor: number;
}

/** Most devices of one container. */
const MAX_DEVICES = 256;

/**
 * Waits for `devices` and gives back `spec` with the guest's numbers for them, in its devices and in their rules.
 *
 * @throws KataError `invalid-argument` for a device that the spec does not have, `unimplemented` for a type that this agent
 * cannot find, `deadline-exceeded` if one does not come.
 */
export async function resolveDevices(
  spec: Spec,
  devices: readonly PluggedDevice[],
  timeoutMs: number,
  loadModule: LoadModule = () => undefined,
): Promise<Spec> {
  if (devices.length > MAX_DEVICES) {
    throw new KataError("invalid-argument", {
      operation: "provide devices",
      object: `${devices.length} of them`,
      hint: `a container has at most ${MAX_DEVICES}`,
    });
  }
  const numbers = new Map<string, DeviceNumbers>();
  let resolved = spec;
  for (const device of devices) {
    if (isCards(device)) {
      resolved = await withCards(resolved, device, timeoutMs, loadModule);
      continue;
    }
    const { deviceMajor, deviceMinor } = stat(await findNode(device, timeoutMs, loadModule));
    numbers.set(device.containerPath, { major: deviceMajor, minor: deviceMinor });
  }
  return withGuestNumbers(resolved, numbers);
}

function isCards({ type }: PluggedDevice): boolean {
  return type === "vfio-pci" || type === "vfio-pci-gk";
}

/** Few pods have some. */
async function withCards(
  spec: Spec,
  device: PluggedDevice,
  timeoutMs: number,
  loadModule: LoadModule,
): Promise<Spec> {
  const { takePassedCards, withGuestAddresses, withGuestGroup } = await import("./passed-cards.ts");
  const { addresses, group } = await takePassedCards(device, timeoutMs, loadModule);
  const named = withGuestAddresses(spec, addresses);
  return group === undefined ? named : withGuestGroup(named, device.containerPath, group);
}

/** Loads a module of the kernel by its name or an alias; nothing for one that is built in. */
export type LoadModule = (name: string) => void;

function findNode(
  { type, id, guestPath, options = [] }: PluggedDevice,
  timeoutMs: number,
  loadModule: LoadModule,
): Promise<string> {
  switch (type) {
    case "blk":
      return id === "" ? namedBlockNode(guestPath, timeoutMs) : virtioBlockNode(id, timeoutMs);
    case "mmioblk":
    case "nvdimm":
      return namedBlockNode(guestPath, timeoutMs, capacityOf(options));
    case "scsi":
      for (const name of SCSI_MODULES) loadModule(name);
      return scsiBlockNode(id, timeoutMs);
    default:
      throw new KataError("unimplemented", {
        operation: "provide device",
        object: `of type ${JSON.stringify(type.slice(0, 40))}`,
        hint: "this agent has blk, mmioblk, nvdimm, scsi, vfio-pci and vfio-pci-gk",
      });
  }
}

/** `spec` with other numbers for the devices at some paths; rules for the old numbers become rules for the new ones. */
export function withGuestNumbers(spec: Spec, numbers: ReadonlyMap<string, DeviceNumbers>): Spec {
  if (numbers.size === 0) return spec;
  const devices = spec.linux?.devices ?? [];
  for (const path of numbers.keys()) {
    if (devices.some((device) => device.path === path)) continue;
    throw new KataError("invalid-argument", {
      operation: "provide device",
      object: JSON.stringify(path.slice(0, 256)),
      hint: "the spec has no device at this path",
    });
  }
  const changes = devices.flatMap((from) => {
    const to = numbers.get(from.path);
    return to === undefined ? [] : [{ from, to }];
  });
  const resources = spec.linux?.resources;
  const rules = resources?.devices?.map((rule): LinuxDeviceCgroup => {
    const change = changes.find(({ from }) => isRuleFor(rule, from));
    return change === undefined ? rule : { ...rule, ...change.to };
  });
  return {
    ...spec,
    linux: {
      ...spec.linux,
      devices: devices.map((device) => ({ ...device, ...numbers.get(device.path) })),
      ...(resources === undefined || rules === undefined
        ? {}
        : { resources: { ...resources, devices: rules } }),
    },
  };
}

function isRuleFor(rule: LinuxDeviceCgroup, device: LinuxDevice): boolean {
  return rule.type === device.type && rule.major === device.major && rule.minor === device.minor;
}
