/**
 * Block devices by where they are plugged in, as the host knows them.
 * Source: Linux Documentation/ABI/testing/sysfs-bus-pci, scsi; upstream kata-agent (forms of the addresses).
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { exists, readDirectory, readTextFileIfExists, statIfExists, writeExisting } from "../../sys/files.ts";
import { awaitDevice } from "./await-device.ts";
import { makeBlockNode } from "./block-node.ts";

/** Bridges between the root bus and a device; more than any machine has. */
const MAX_PCI_DEPTH = 8;

/** Where sysfs is mounted; tests put a tree of their own there. */
export type SysfsRoot = string;
const SYSFS: SysfsRoot = "/sys";

/**
 * Reads `SLOT[.FUNCTION]/SLOT[.FUNCTION]/…` (hexadecimal): the device's slot behind each bridge on the way from the root bus.
 *
 * @throws KataError `invalid-argument`.
 */
export function parsePciPath(path: string): { readonly slot: number; readonly function: number }[] {
  const components = path.split("/").map((component) => /^([0-9a-f]{1,2})(?:\.([0-7]))?$/i.exec(component));
  if (components.length <= MAX_PCI_DEPTH && components.every((match) => match !== null)) {
    const parsed = components.map((match) => ({
      slot: Number.parseInt(match?.[1] ?? "", 16),
      function: Number(match?.[2] ?? "0"),
    }));
    if (parsed.every(({ slot }) => slot < 32)) return parsed;
  }
  throw new KataError("invalid-argument", {
    operation: "read PCI path",
    object: JSON.stringify(path.slice(0, 80)),
    hint: "it is the slots from the root bus to the device, as in 02/00",
  });
}

const ROOT_COMPLEX = "pci0000:00";

/** A PC's is a device for itself, that of a board described by a device tree one of its platform. */
function rootComplex(sysfs: SysfsRoot): string {
  const own = `${sysfs}/devices/${ROOT_COMPLEX}`;
  if (exists(own)) return own;
  const platform = `${sysfs}/devices/platform`;
  const bridge = listIfExists(platform).find((name) => exists(`${platform}/${name}/${ROOT_COMPLEX}`));
  return bridge === undefined ? own : `${platform}/${bridge}/${ROOT_COMPLEX}`;
}

/** The sysfs directory of the device at a PCI path, or undefined while it is not there. */
export function findPciDevice(path: string, sysfs = SYSFS): string | undefined {
  let directory = rootComplex(sysfs);
  let bus = "0000:00";
  for (const [index, { slot, function: fn }] of parsePciPath(path).entries()) {
    if (index > 0) {
      const behind = listIfExists(`${directory}/pci_bus`)[0];
      if (behind === undefined) return undefined;
      bus = behind;
    }
    directory = `${directory}/${bus}:${slot.toString(16).padStart(2, "0")}.${fn}`;
    if (!exists(directory)) return undefined;
  }
  return directory;
}

/** The names in a directory; none if it does not exist. */
function listIfExists(path: string): string[] {
  try {
    return readDirectory(path).map((entry) => entry.name);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** The first block device below a device's directory: `vda` under `virtio3/block`. */
function blockDeviceBelow(directory: string): string | undefined {
  for (const name of listIfExists(directory)) {
    if (!name.startsWith("virtio") && !name.startsWith("nvme")) continue;
    const [block] = listIfExists(`${directory}/${name}/block`);
    if (block !== undefined) return block;
  }
  return undefined;
}

/** The node of the virtio-blk disk at PCI path `path`, when it has come. */
export async function virtioBlockNode(path: string, timeoutMs: number): Promise<string> {
  parsePciPath(path);
  const name = await awaitDevice(`disk at PCI path ${path}`, timeoutMs, () => {
    const directory = findPciDevice(path);
    return directory === undefined ? undefined : blockDeviceBelow(directory);
  });
  return await deviceNode(name, timeoutMs);
}

/** Drivers of the controller and of the disks behind it; they are loaded when there is one. */
export const SCSI_MODULES = ["virtio_scsi", "sd_mod"];

/** The node of the SCSI disk with `address` `ID:LUN`, when it has come; the hosts are scanned for it. */
export async function scsiBlockNode(address: string, timeoutMs: number): Promise<string> {
  const match = /^(\d{1,5}):(\d{1,5})$/.exec(address);
  if (match === null) {
    throw new KataError("invalid-argument", {
      operation: "read SCSI address",
      object: JSON.stringify(address.slice(0, 80)),
      hint: "it is ID:LUN",
    });
  }
  const [, id, lun] = match;
  for (const host of listIfExists(`${SYSFS}/class/scsi_host`)) {
    writeExisting(`${SYSFS}/class/scsi_host/${host}/scan`, `0 ${id} ${lun}`);
  }
  const name = await awaitDevice(`SCSI disk ${address}`, timeoutMs, () => {
    const device = listIfExists(`${SYSFS}/bus/scsi/devices`).find((entry) =>
      entry.endsWith(`:0:${id}:${lun}`),
    );
    return device === undefined ? undefined : listIfExists(`${SYSFS}/bus/scsi/devices/${device}/block`)[0];
  });
  return await deviceNode(name, timeoutMs);
}

/** Sizes in sysfs are in sectors, whatever those of the disk are. Source: Documentation/ABI/stable/sysfs-block, "size". */
const SECTOR_BYTES = 512n;

/**
 * The node of a disk that the host names by its path in the guest (`/dev/vda`).
 *
 * @param bytes its size: a disk whose backing the host has exchanged keeps its node, and has another size when the kernel has
 * noticed. Undefined if any will do.
 */
export async function namedBlockNode(
  path: string,
  timeoutMs: number,
  bytes?: bigint,
  sysfs = SYSFS,
): Promise<string> {
  const match = /^\/dev\/([\w-]{1,32})$/.exec(path);
  const name = match?.[1];
  if (name === undefined) {
    throw new KataError("invalid-argument", {
      operation: "find block device",
      object: JSON.stringify(path.slice(0, 80)),
      hint: "it is a node in /dev",
    });
  }
  const what = `disk ${path}${bytes === undefined ? "" : ` of ${bytes} bytes`}`;
  await awaitDevice(what, timeoutMs, () =>
    hasSize(`${sysfs}/class/block/${name}`, bytes) ? name : undefined,
  );
  return await deviceNode(name, timeoutMs, sysfs);
}

function hasSize(directory: string, bytes: bigint | undefined): boolean {
  if (bytes === undefined) return exists(directory);
  const sectors = readTextFileIfExists(`${directory}/size`)?.trim();
  return sectors !== undefined && BigInt(sectors) === bytes / SECTOR_BYTES;
}

/**
 * The value of the option `capacity=BYTES` among a disk's.
 *
 * @throws KataError `invalid-argument` for what is no size.
 */
export function capacityOf(options: readonly string[]): bigint | undefined {
  const text = options.find((option) => option.startsWith("capacity="))?.slice("capacity=".length);
  if (text === undefined) return undefined;
  if (/^\d{1,18}$/.test(text)) return BigInt(text);
  throw new KataError("invalid-argument", {
    operation: "find block device",
    object: `capacity=${text.slice(0, 40)}`,
    hint: "it is a number of bytes",
  });
}

/**
 * The path of the node of block device `name`; it is made where no devtmpfs has done so. A disk that comes has its directory first, and
 * then its numbers and its node.
 */
async function deviceNode(name: string, timeoutMs: number, sysfs = SYSFS): Promise<string> {
  const path = `/dev/${name}`;
  return await awaitDevice(`node of disk ${name}`, timeoutMs, () => {
    if (statIfExists(path) !== undefined) return path;
    const text = readTextFileIfExists(`${sysfs}/class/block/${name}/dev`);
    const [major, minor] = text?.trim().split(":").map(Number) ?? [];
    if (major === undefined || minor === undefined) return undefined;
    makeBlockNode(path, major, minor);
    return path;
  });
}
