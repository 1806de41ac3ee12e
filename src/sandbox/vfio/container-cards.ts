/**
 * PCI cards of the host that a container is to have: nodes below /dev/vfio in its specification, by a device plug-in, by CDI or by hand.
 *
 * A node stands for an IOMMU group, all of whose cards go to one guest, or, where the host has iommufd, for a single card.
 * Sources: Linux Documentation/driver-api/vfio.rst, "VFIO Usage Example", "IOMMUFD and vfio_iommu_type1"; Documentation/PCI/sysfs-pci.rst.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { LinuxDevice } from "../../oci/types.ts";
import { AT_FDCWD, readDirectory, readlinkat, readTextFileIfExists } from "../../sys/files.ts";
import { isPciAddress } from "../network/vfio-binding.ts";

const SYSFS = "/sys";
/** Most cards of one node; a machine has 16 ports of a kind. */
const MAX_CARDS = 32;
/** Class of bridges of all kinds; those between the cards of a group stay the host's. Source: PCI Code and ID Assignment, "06h". */
const BRIDGES = /^0x06/;

/** What one node stands for. */
export interface ContainerCards {
  /** `12` of a group, `vfio3` of a single card. */
  readonly name: string;
  readonly isGroup: boolean;
  /** Path of the node in the container. */
  readonly containerPath: string;
  /** Cards, `0000:01:00.0`, in the order of their addresses. */
  readonly pciAddresses: readonly string[];
}

/**
 * @param sysfs another tree, for tests.
 * @throws KataError `not-found` for a node that is none of this host's, `unsupported` for a mediated device.
 */
export function cardsBehind({ path, major = -1, minor = -1 }: LinuxDevice, sysfs = SYSFS): ContainerCards {
  const target = linkOf(`${sysfs}/dev/char/${major}:${minor}`, path);
  const [, group] = /\/vfio\/(\d+)$/.exec(target) ?? [];
  if (group !== undefined) {
    return { name: group, isGroup: true, containerPath: path, pciAddresses: cardsOfGroup(group, sysfs) };
  }
  const [, card = "", name] = /\/([^/]+)\/vfio-dev\/(vfio\d+)$/.exec(target) ?? [];
  if (name === undefined) throw noNode(`${path} (${major}:${minor})`);
  return { name, isGroup: false, containerPath: path, pciAddresses: [checkedAddress(card, path)] };
}

function linkOf(link: string, node: string): string {
  try {
    return readlinkat(AT_FDCWD, link);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "EINVAL")) throw noNode(node, error);
    throw error;
  }
}

function cardsOfGroup(group: string, sysfs: string): string[] {
  const members = readDirectory(`${sysfs}/kernel/iommu_groups/${group}/devices`)
    .map(({ name }) => checkedAddress(name, `IOMMU group ${group}`))
    .filter((card) => !BRIDGES.test(readTextFileIfExists(`${sysfs}/bus/pci/devices/${card}/class`) ?? ""))
    .sort();
  if (members.length > 0 && members.length <= MAX_CARDS) return members;
  throw new KataError("unsupported", {
    operation: "pass PCI card to guest",
    object: `IOMMU group ${group} with ${members.length} cards`,
    hint: `a group has from 1 to ${MAX_CARDS}`,
  });
}

function checkedAddress(name: string, where: string): string {
  if (isPciAddress(name)) return name;
  throw new KataError("unsupported", {
    operation: "pass PCI card to guest",
    object: `${name} of ${where} is no PCI card`,
    hint: "mediated devices (vGPUs) are not passed on; use a card or one of its virtual functions",
  });
}

function noNode(object: string, cause?: unknown): KataError {
  return new KataError("not-found", {
    operation: "find VFIO device",
    object,
    hint: "linux.devices of the specification names devices by numbers of the host; is the card bound to vfio-pci?",
    ...(cause === undefined ? {} : { cause }),
  });
}
