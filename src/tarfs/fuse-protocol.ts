/**
 * The kernel's requests to a file system in a process, and the answers to them.
 *
 * ```
 *  request: u32 length, u32 operation, u64 unique, u64 node, u32 uid, u32 gid, u32 pid, u32 –   then the operation's own
 *  answer:  u32 length, i32 negative errno, u64 unique                                          then the operation's own
 * ```
 *
 * Source: Linux UAPI header linux/fuse.h, protocol 7.31; fuse(4).
 */
import type { TarInode } from "./tar-filesystem.ts";

export const REQUEST_HEADER_BYTES = 40;
export const ANSWER_HEADER_BYTES = 16;

export const Operation = {
  lookUp: 1,
  forget: 2,
  getAttributes: 3,
  readLink: 5,
  open: 14,
  read: 15,
  statFilesystem: 17,
  release: 18,
  getXattr: 22,
  listXattrs: 23,
  flush: 25,
  initialize: 26,
  openDirectory: 27,
  readDirectory: 28,
  releaseDirectory: 29,
  access: 34,
  interrupt: 36,
  destroy: 38,
  forgetMany: 42,
} as const;

export interface FuseRequest {
  readonly operation: number;
  readonly unique: bigint;
  readonly node: number;
  /** What comes after the header. */
  readonly body: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
}

/** @param bytes a whole request; undefined is returned for less. */
export function parseRequest(bytes: Uint8Array<ArrayBuffer>): FuseRequest | undefined {
  if (bytes.length < REQUEST_HEADER_BYTES) return undefined;
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const body = bytes.subarray(REQUEST_HEADER_BYTES);
  return {
    operation: header.getUint32(4, true),
    unique: header.getBigUint64(8, true),
    node: Number(header.getBigUint64(16, true)),
    body,
    view: new DataView(body.buffer, body.byteOffset, body.length),
  };
}

/** An answer with room for `length` bytes. */
export function newAnswer(
  unique: bigint,
  length: number,
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly view: DataView } {
  const bytes = new Uint8Array(ANSWER_HEADER_BYTES + length);
  const header = new DataView(bytes.buffer);
  header.setUint32(0, bytes.length, true);
  header.setBigUint64(8, unique, true);
  return { bytes, view: new DataView(bytes.buffer, ANSWER_HEADER_BYTES) };
}

/** @param errno positive; 0 for an answer without content. */
export function plainAnswer(unique: bigint, errno: number): Uint8Array<ArrayBuffer> {
  const { bytes } = newAnswer(unique, 0);
  new DataView(bytes.buffer).setInt32(4, -errno, true);
  return bytes;
}

const ATTRIBUTE_BYTES = 88;
export const ENTRY_BYTES = 40 + ATTRIBUTE_BYTES;
export const ATTRIBUTES_BYTES = 16 + ATTRIBUTE_BYTES;
/** Nothing changes: the kernel may keep it for as long as it likes, seconds. */
const FOR_EVER = 0xffff_ffffn;

/** struct fuse_entry_out. */
export function writeEntry(view: DataView, inode: TarInode): void {
  view.setBigUint64(0, BigInt(inode.number), true);
  view.setBigUint64(16, FOR_EVER, true);
  view.setBigUint64(24, FOR_EVER, true);
  writeAttributes(view, 40, inode);
}

/** struct fuse_attr_out. */
export function writeAttributesAnswer(view: DataView, inode: TarInode): void {
  view.setBigUint64(0, FOR_EVER, true);
  writeAttributes(view, 16, inode);
}

function writeAttributes(view: DataView, at: number, inode: TarInode): void {
  const time = BigInt(inode.mtime);
  view.setBigUint64(at, BigInt(inode.number), true);
  view.setBigUint64(at + 8, BigInt(inode.size), true);
  view.setBigUint64(at + 16, BigInt(Math.ceil(inode.size / 512)), true);
  for (const place of [24, 32, 40]) view.setBigUint64(at + place, time, true);
  view.setUint32(at + 60, inode.mode, true);
  view.setUint32(at + 64, inode.kind === "directory" ? 2 : 1, true);
  view.setUint32(at + 68, inode.uid, true);
  view.setUint32(at + 72, inode.gid, true);
  // As the kernel puts the numbers of devices together, new_encode_dev().
  view.setUint32(
    at + 76,
    ((inode.minor & 0xff) | (inode.major << 8) | ((inode.minor & ~0xff) << 12)) >>> 0,
    true,
  );
  view.setUint32(at + 80, 4096, true);
}

/** Bytes of a name in a list of a directory's. */
export function listedBytes(name: Uint8Array): number {
  return Math.ceil((24 + name.length) / 8) * 8;
}

/** struct fuse_dirent. @param next where to go on after it. */
export function writeListed(
  bytes: Uint8Array,
  at: number,
  entry: { readonly inode: number; readonly type: number; readonly name: Uint8Array },
  next: number,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setBigUint64(at, BigInt(entry.inode), true);
  view.setBigUint64(at + 8, BigInt(next), true);
  view.setUint32(at + 16, entry.name.length, true);
  view.setUint32(at + 20, entry.type, true);
  bytes.set(entry.name, at + 24);
}
