/**
 * PCI cards of the host that have been plugged in for a container: the guest's kernel drives them, or the container's programs do, by VFIO.
 *
 * Programs know cards by their addresses, which are others in the guest: device plug-ins name them in environment variables.
 * Sources: upstream's agent protocol, devices of types vfio-pci-gk and vfio-pci; Linux Documentation/driver-api/vfio.rst,
 * Documentation/ABI/testing/sysfs-bus-pci; Kubernetes' SR-IOV network device plug-in, variables `PCIDEVICE_…`.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { Spec } from "../../oci/types.ts";
import { readlink, statIfExists, writeExisting } from "../../sys/files.ts";
import { awaitDevice } from "./await-device.ts";
import { findPciDevice, parsePciPath } from "./block-device.ts";
import type { LoadModule, PluggedDevice } from "./container-devices.ts";

const SYSFS = "/sys";
const VFIO_DRIVER = "vfio-pci";
/** The driver, and what programs need beside it. */
const VFIO_MODULES = [VFIO_DRIVER, "vfio_iommu_type1"];
/** Most cards behind one node. */
const MAX_CARDS = 64;

/** Where cards are on the host, and where they are here: `0000:01:00.0` each. */
export type CardAddresses = ReadonlyMap<string, string>;

export interface PassedCards {
  readonly addresses: CardAddresses;
  /** The group that the container's programs use, of cards that they drive. */
  readonly group?: { readonly path: string; readonly major: number; readonly minor: number };
}

/**
 * Waits for the cards of one device and hands them to who drives them.
 *
 * @throws KataError `invalid-argument` for a malformed option, `deadline-exceeded` if a card does not come, `failed-precondition` for cards
 * that the guest has no IOMMU for.
 */
export async function takePassedCards(
  { type, options = [], containerPath }: PluggedDevice,
  timeoutMs: number,
  loadModule: LoadModule,
  sysfs = SYSFS,
): Promise<PassedCards> {
  if (options.length === 0 || options.length > MAX_CARDS) throw malformed(`${options.length} cards`);
  const isForPrograms = type === VFIO_DRIVER;
  const addresses = new Map<string, string>();
  const groups = new Set<string>();
  for (const option of options) {
    const { host, path } = parseOption(option);
    const directory = await awaitDevice(`card at PCI path ${path}`, timeoutMs, () =>
      findPciDevice(path, sysfs),
    );
    const guest = directory.slice(directory.lastIndexOf("/") + 1);
    addresses.set(host, guest);
    if (isForPrograms) groups.add(giveToVfio(directory, guest, loadModule, sysfs));
  }
  if (!isForPrograms) return { addresses };
  const [group = "", ...others] = groups;
  if (others.length > 0) {
    throw new KataError("failed-precondition", {
      operation: "provide device",
      object: `${containerPath}: its cards are in ${groups.size} IOMMU groups of the guest`,
      hint: "a container's node is one group",
    });
  }
  const path = `/dev/vfio/${group}`;
  const { deviceMajor: major, deviceMinor: minor } = await awaitDevice(`node ${path}`, timeoutMs, () =>
    statIfExists(path),
  );
  return { addresses, group: { path, major, minor } };
}

/** `HOST=PATH`: the host writes the domain or leaves it out. */
function parseOption(option: string): { readonly host: string; readonly path: string } {
  const [, domain = "0000:", card, path = ""] =
    /^([0-9a-f]{4}:)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])=([^=]*)$/i.exec(option) ?? [];
  if (card === undefined) throw malformed(JSON.stringify(option.slice(0, 80)));
  parsePciPath(path);
  return { host: `${domain}${card}`.toLowerCase(), path };
}

function malformed(object: string): KataError {
  return new KataError("invalid-argument", {
    operation: "provide VFIO device",
    object,
    hint: "its options are the cards, ADDRESS-ON-HOST=PCI-PATH, as in 0000:01:00.0=02/00",
  });
}

/** Binds a card to vfio-pci. @returns its IOMMU group. */
function giveToVfio(directory: string, address: string, loadModule: LoadModule, sysfs: string): string {
  const group = linkName(`${directory}/iommu_group`);
  if (group === undefined || !/^\d{1,9}$/.test(group)) {
    throw new KataError("failed-precondition", {
      operation: "provide device",
      object: `card ${address} is in no IOMMU group of the guest`,
      hint: 'vfio_mode = "vfio" needs enable_iommu = true, and a guest kernel with its driver',
    });
  }
  for (const name of VFIO_MODULES) loadModule(name);
  const driver = linkName(`${directory}/driver`);
  if (driver === VFIO_DRIVER) return group;
  writeExisting(`${directory}/driver_override`, VFIO_DRIVER);
  if (driver !== undefined) writeExisting(`${directory}/driver/unbind`, address);
  writeExisting(`${sysfs}/bus/pci/drivers_probe`, address);
  return group;
}

function linkName(link: string): string | undefined {
  try {
    const target = readlink(link);
    return target.slice(target.lastIndexOf("/") + 1);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** `spec` with the guest's addresses of cards in the variables that device plug-ins name them by; others stay. */
export function withGuestAddresses(spec: Spec, addresses: CardAddresses): Spec {
  if (spec.process?.env === undefined || addresses.size === 0) return spec;
  const env = spec.process.env.map((variable) => {
    const [, name, value = ""] = /^(PCIDEVICE_[^=]*=)(.*)$/s.exec(variable) ?? [];
    if (name === undefined) return variable;
    return `${name}${value
      .split(",")
      .map((card) => addresses.get(card) ?? card)
      .join(",")}`;
  });
  return { ...spec, process: { ...spec.process, env } };
}

/** `spec` with the guest's group for the node at `containerPath`: by its number programs find it. */
export function withGuestGroup(
  spec: Spec,
  containerPath: string,
  { path, major, minor }: NonNullable<PassedCards["group"]>,
): Spec {
  const devices = spec.linux?.devices ?? [];
  if (!devices.some((device) => device.path === containerPath)) {
    throw new KataError("invalid-argument", {
      operation: "provide device",
      object: JSON.stringify(containerPath.slice(0, 256)),
      hint: "the spec has no device at this path",
    });
  }
  return {
    ...spec,
    linux: {
      ...spec.linux,
      devices: devices.map((device) =>
        device.path === containerPath ? { ...device, path, major, minor } : device,
      ),
    },
  };
}
