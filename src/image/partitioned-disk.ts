/**
 * A disk with two partitions, a file system and its tree of hashes, as monitors and kernels find them: a GUID partition table at the
 * beginning and a copy of it at the end.
 *
 * Sources: UEFI specification 2.10, chapter 5 "GUID Partition Table"; UAPI group, Discoverable Partitions Specification (types).
 */
import { createHash } from "node:crypto";
import { crc32 } from "../crypto/crc32.ts";

const SECTOR = 512;
/** Partitions begin at multiples of this many bytes. */
const ALIGNMENT = 1 << 20;
const ENTRY_COUNT = 128;
const ENTRY_BYTES = 128;
const TABLE_SECTORS = (ENTRY_COUNT * ENTRY_BYTES) / SECTOR;
const HEADER_BYTES = 92;

export interface Partition {
  /** At most 36 characters. */
  readonly name: string;
  /** The GUID of its type. */
  readonly type: string;
  readonly content: readonly Uint8Array[];
}

/** Types of partitions of a root file system and of its hashes, by Node's name of the processor. */
export const ROOT_TYPES: Partial<
  Record<NodeJS.Architecture, { readonly root: string; readonly verity: string }>
> = {
  x64: { root: "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", verity: "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5" },
  arm64: { root: "b921b045-1df0-41c3-af44-4c6f280d3fae", verity: "df3300ce-d69f-4c92-978c-9bfb0f38d820" },
};

/** The disk. @param seed what its own GUIDs are made of, so that equal inputs give equal bytes. */
export function partitionedDisk(partitions: readonly Partition[], seed: string): Uint8Array {
  const places: { readonly first: number; readonly sectors: number }[] = [];
  let at = ALIGNMENT / SECTOR;
  for (const { content } of partitions) {
    const sectors = Math.ceil(content.reduce((sum, { length }) => sum + length, 0) / SECTOR);
    places.push({ first: at, sectors });
    at = Math.ceil((at + sectors) / (ALIGNMENT / SECTOR)) * (ALIGNMENT / SECTOR);
  }
  const sectors = at + ALIGNMENT / SECTOR;
  const disk = new Uint8Array(sectors * SECTOR);
  for (const [index, { content }] of partitions.entries()) {
    let byte = (places[index]?.first ?? 0) * SECTOR;
    for (const piece of content) {
      disk.set(piece, byte);
      byte += piece.length;
    }
  }
  const table = entries(partitions, places, seed);
  const last = sectors - 1;
  disk.set(protectiveRecord(sectors), 0);
  const area = { firstUsable: 2 + TABLE_SECTORS, lastUsable: last - TABLE_SECTORS - 1, seed, table };
  disk.set(header({ ...area, own: 1, other: last, tableAt: 2 }), SECTOR);
  disk.set(table, 2 * SECTOR);
  disk.set(table, (last - TABLE_SECTORS) * SECTOR);
  disk.set(header({ ...area, own: last, other: 1, tableAt: last - TABLE_SECTORS }), last * SECTOR);
  return disk;
}

interface HeaderFields {
  readonly own: number;
  readonly other: number;
  readonly tableAt: number;
  readonly firstUsable: number;
  readonly lastUsable: number;
  readonly seed: string;
  readonly table: Uint8Array;
}

function header({ own, other, tableAt, firstUsable, lastUsable, seed, table }: HeaderFields): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode("EFI PART"));
  view.setUint32(8, 0x0001_0000, true);
  view.setUint32(12, HEADER_BYTES, true);
  for (const [at, sector] of [
    [24, own],
    [32, other],
    [40, firstUsable],
    [48, lastUsable],
    [72, tableAt],
  ] as const)
    view.setBigUint64(at, BigInt(sector), true);
  bytes.set(guidBytes(guidOf(seed, "disk")), 56);
  view.setUint32(80, ENTRY_COUNT, true);
  view.setUint32(84, ENTRY_BYTES, true);
  view.setUint32(88, crc32(table), true);
  view.setUint32(16, crc32(bytes), true);
  return bytes;
}

function entries(
  partitions: readonly Partition[],
  places: readonly { readonly first: number; readonly sectors: number }[],
  seed: string,
): Uint8Array {
  const table = new Uint8Array(ENTRY_COUNT * ENTRY_BYTES);
  const view = new DataView(table.buffer);
  for (const [index, { name, type }] of partitions.entries()) {
    const at = index * ENTRY_BYTES;
    const { first, sectors } = places[index] ?? { first: 0, sectors: 0 };
    table.set(guidBytes(type), at);
    table.set(guidBytes(guidOf(seed, name)), at + 16);
    view.setBigUint64(at + 32, BigInt(first), true);
    view.setBigUint64(at + 40, BigInt(first + sectors - 1), true);
    for (const [character, unit] of [...name].entries()) {
      view.setUint16(at + 56 + 2 * character, unit.charCodeAt(0), true);
    }
  }
  return table;
}

/** A table of the older kind that says: all of the disk is taken. */
function protectiveRecord(sectors: number): Uint8Array {
  const bytes = new Uint8Array(SECTOR);
  const view = new DataView(bytes.buffer);
  bytes.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff], 446);
  view.setUint32(454, 1, true);
  view.setUint32(458, Math.min(sectors - 1, 0xffff_ffff), true);
  bytes.set([0x55, 0xaa], 510);
  return bytes;
}

/** A GUID of the kind that others make for their own purposes. Source: RFC 9562, section 5.8. */
function guidOf(seed: string, what: string): string {
  const hex = createHash("sha256").update(`${seed} ${what}`).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** The first three groups of digits are numbers, lowest byte first. */
function guidBytes(guid: string): Uint8Array {
  const bytes = Buffer.from(guid.replaceAll("-", ""), "hex");
  return Uint8Array.from([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15], (from) => bytes[from] ?? 0);
}
