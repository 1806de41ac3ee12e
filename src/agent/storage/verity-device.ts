/**
 * A disk that the guest's kernel checks block by block, against a tree of hashes whose root the owner knows (dm-verity). The host keeps
 * the disk and may change it; what it changes can then not be read.
 * Sources: Linux Documentation/admin-guide/device-mapper/verity.rst, include/uapi/linux/dm-ioctl.h; upstream's agent, option `verity_info`.
 */
import { KataError } from "../../kata-error.ts";
import { O_RDWR, open } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import { makeBlockNode } from "../device/block-node.ts";

export interface VerityInfo {
  readonly algorithm: string;
  /** Hexadecimal. */
  readonly rootHash: string;
  /** Hexadecimal; empty for none. */
  readonly salt: string;
  /** Blocks of data, and bytes of a block of data and of hashes. */
  readonly blocks: number;
  readonly blockBytes: number;
  readonly hashBlockBytes: number;
  /** Where the tree begins on the disk, bytes. */
  readonly hashOffset: number;
}

const ALGORITHMS = ["sha1", "sha256", "sha512"];
const MAX_BLOCKS = 2 ** 40;

/** @throws KataError `invalid-argument` unless `json` describes a tree completely. */
export function parseVerityInfo(json: string): VerityInfo {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const record = (typeof value === "object" && value !== null ? value : {}) as Readonly<
    Record<string, unknown>
  >;
  const { hashtype, hash, salt = "", blocknum, blocksize, hashsize, offset } = record;
  const isNumber = (candidate: unknown, min: number, max: number): candidate is number =>
    Number.isSafeInteger(candidate) && Number(candidate) >= min && Number(candidate) <= max;
  const isBlock = (candidate: unknown): candidate is number =>
    isNumber(candidate, 512, 65_536) && (candidate & (candidate - 1)) === 0;
  if (
    typeof hashtype === "string" &&
    ALGORITHMS.includes(hashtype) &&
    typeof hash === "string" &&
    /^([0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128})$/i.test(hash) &&
    typeof salt === "string" &&
    /^([0-9a-f]{2}){0,256}$/i.test(salt) &&
    isNumber(blocknum, 1, MAX_BLOCKS) &&
    isBlock(blocksize) &&
    isBlock(hashsize) &&
    isNumber(offset, 0, Number.MAX_SAFE_INTEGER) &&
    offset >= blocknum * blocksize
  ) {
    return {
      algorithm: hashtype,
      rootHash: hash.toLowerCase(),
      salt: salt.toLowerCase(),
      blocks: blocknum,
      blockBytes: blocksize,
      hashBlockBytes: hashsize,
      hashOffset: offset,
    };
  }
  throw new KataError("invalid-argument", {
    operation: "verify disk",
    object: JSON.stringify(json.slice(0, 400)),
    hint: "it is hashtype, hash, salt, blocknum, blocksize, hashsize and offset, with the tree behind the data",
  });
}

/** The table's parameters for the disk at `node`. */
export function verityTable(info: VerityInfo, node: string): string {
  const { algorithm, rootHash, salt, blocks, blockBytes, hashBlockBytes, hashOffset } = info;
  const hashStart = Math.ceil(hashOffset / hashBlockBytes);
  const words = [
    1,
    node,
    node,
    blockBytes,
    hashBlockBytes,
    blocks,
    hashStart,
    algorithm,
    rootHash,
    salt || "-",
  ];
  return words.join(" ");
}

/** _IOWR(0xfd, n, struct dm_ioctl), 312 bytes. */
const DM_DEV_CREATE = 0xc138_fd03;
const DM_DEV_REMOVE = 0xc138_fd04;
const DM_DEV_SUSPEND = 0xc138_fd06;
const DM_TABLE_LOAD = 0xc138_fd09;
const HEADER_BYTES = 312;
const TARGET_BYTES = 40;
const DM_READONLY_FLAG = 1;
const SECTOR_BYTES = 512;
const CONTROL = "/dev/mapper/control";

export interface VerityDevice {
  /** The node of the disk that is checked. */
  readonly node: string;
  remove(): void;
}

/** Makes device `name` over the disk at `node`. Its module has to be loaded. */
export function openVerityDevice(name: string, node: string, info: VerityInfo): VerityDevice {
  const sectors = BigInt(info.blocks) * BigInt(info.blockBytes / SECTOR_BYTES);
  return openVerityTable(name, sectors, verityTable(info, node));
}

/** Makes device `name` of `sectors` sectors of 512 bytes. @param table dm-verity's parameters. */
export function openVerityTable(name: string, sectors: bigint, table: string): VerityDevice {
  using control = open(CONTROL, O_RDWR);
  const call = (command: number, what: string, flags: number, target?: Uint8Array): DataView => {
    const message = dmMessage(name, flags, target);
    check(kernel().syscall("ioctl", control.fd, command, message), what, name);
    return new DataView(message.buffer);
  };
  const created = call(DM_DEV_CREATE, "make verified disk", 0);
  const remove = () => removeMappedDevice(name);
  try {
    call(DM_TABLE_LOAD, "set up verified disk", DM_READONLY_FLAG, verityTarget(sectors, table));
    call(DM_DEV_SUSPEND, "start verified disk", 0);
    return { node: nodeOf(created), remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** Removes device `name`, which nobody uses any more. */
export function removeMappedDevice(name: string): void {
  using control = open(CONTROL, O_RDWR);
  check(kernel().syscall("ioctl", control.fd, DM_DEV_REMOVE, dmMessage(name, 0)), "remove mapped disk", name);
}

/** struct dm_ioctl: version 3×u32, data_size, data_start, target_count, open_count, flags, event_nr, padding, dev u64, name, uuid. */
function dmMessage(name: string, flags: number, target?: Uint8Array): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(HEADER_BYTES + (target?.length ?? 0));
  const view = new DataView(message.buffer);
  view.setUint32(0, 4, true);
  view.setUint32(12, message.length, true);
  view.setUint32(16, HEADER_BYTES, true);
  view.setUint32(20, target === undefined ? 0 : 1, true);
  view.setUint32(28, flags, true);
  message.set(utf8Encode(name).subarray(0, 127), 48);
  if (target !== undefined) message.set(target, HEADER_BYTES);
  return message;
}

/** struct dm_target_spec: start u64, length u64, status, next u32, type of 16 bytes; then the parameters with a NUL. */
function verityTarget(sectors: bigint, parameters: string): Uint8Array {
  const text = utf8Encode(parameters);
  const target = new Uint8Array(TARGET_BYTES + 8 * Math.ceil((text.length + 1) / 8));
  const view = new DataView(target.buffer);
  view.setBigUint64(8, sectors, true);
  view.setUint32(20, target.length, true);
  target.set(utf8Encode("verity"), 24);
  target.set(text, TARGET_BYTES);
  return target;
}

/** The node of the device that was made; it is made where no devtmpfs has done so. */
function nodeOf(created: DataView): string {
  // As huge_encode_dev() puts major and minor together.
  const device = Number(created.getBigUint64(40, true));
  const major = (device >> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  const path = `/dev/dm-${minor}`;
  makeBlockNode(path, major, minor);
  return path;
}
