/**
 * Writes EROFS images: a tree as a read-only file system that the kernel mounts.
 *
 * ```
 * 1 KiB of nothing │ superblock │ inodes, each with its attributes and the end of its content │ whole blocks of content
 * ```
 *
 * Nothing is compressed: the images are layers whose blocks are read one by one, each checked by dm-verity. Equal trees give equal bytes.
 * Source: Linux Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h, as of 6.1.
 */
import { crc32c } from "../../crypto/crc32.ts";
import { KataError } from "../../kata-error.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import {
  type DirectoryEntry,
  directoryBlocks,
  directoryBytes,
  directorySize,
  ENTRY_TYPES,
  EROFS_BLOCK,
} from "./erofs-directory.ts";
import { xattrBytes, xattrCount } from "./erofs-xattrs.ts";
import type { Directory, TreeNode } from "./layer-tree.ts";

export interface ErofsImage {
  /** Bytes; whole blocks. */
  readonly length: number;
  /** The image from its beginning to its end. A piece holds until the next one. */
  pieces(): Generator<Uint8Array>;
}

const MAGIC = 0xe0f5e1e2;
const SUPERBLOCK_AT = 1024;
const SUPERBLOCK_BYTES = 128;
/** The superblock has a checksum. */
const FEATURE_CHECKSUM = 1;
const INODE_BYTES = 64;
/** Inodes are numbered by the places of 32 bytes that they begin at. */
const SLOT_BYTES = 32;
const EXTENDED_INODE = 1;
const FLAT_PLAIN = 0 << 1;
const FLAT_INLINE = 2 << 1;
const UUID_BYTES = 16;
/** Bytes of content that are read at once; whole blocks. */
const PIECE_BYTES = 1 << 20;

/** Source: inode(7). */
const FORMAT_BITS = {
  file: 0o100000,
  symlink: 0o120000,
  character: 0o020000,
  block: 0o060000,
  directory: 0o040000,
  fifo: 0o010000,
} as const;

interface Inode {
  readonly node: TreeNode;
  readonly xattrs: Uint8Array;
  /** A directory's entries by block. */
  readonly number: number;
  blocks: readonly (readonly DirectoryEntry<Inode>[])[];
  /** Bytes of content. */
  size: number;
  links: number;
  /** Where it stands, bytes from the image's beginning. */
  at: number;
  /** Whether the part of a block at its end stands behind the inode. */
  isInline: boolean;
  /** The first of its whole blocks of content. */
  block: number;
}

/** @param uuid 16 bytes that tell the image from others. @throws KataError `invalid-layer` for what the format cannot hold. */
export function erofsImage(root: Directory, uuid: Uint8Array): ErofsImage {
  const inodes = collectInodes(root);
  const metadataEnd = placeInodes(inodes);
  let block = metadataEnd / EROFS_BLOCK;
  for (const inode of inodes) {
    inode.block = block;
    block += wholeBlocks(inode);
  }
  const length = block * EROFS_BLOCK;
  return {
    length,
    *pieces() {
      yield metadata(inodes, metadataEnd, length, uuid);
      for (const inode of inodes) if (wholeBlocks(inode) > 0) yield* contentBlocks(inode);
    },
  };
}

/** Every inode once, each directory's members after it. The root is the first. */
function collectInodes(root: Directory): Inode[] {
  const inodes: Inode[] = [];
  const known = new Map<TreeNode, Inode>();
  const add = (node: TreeNode, parent: Inode | undefined): Inode => {
    const found = known.get(node);
    if (found !== undefined) {
      found.links++;
      return found;
    }
    const inode: Inode = {
      node,
      xattrs: xattrBytes(node.xattrs),
      number: inodes.length + 1,
      blocks: [],
      size: 0,
      links: node.kind === "directory" ? 2 : 1,
      at: 0,
      isInline: false,
      block: 0,
    };
    known.set(node, inode);
    inodes.push(inode);
    if (node.kind !== "directory") {
      inode.size = contentLength(node);
      return inode;
    }
    const members = [...node.members].map(([name, member]) => ({
      name: utf8Encode(name),
      target: add(member, inode),
    }));
    inode.links += members.filter(({ target }) => target.node.kind === "directory").length;
    inode.blocks = directoryBlocks([
      { name: utf8Encode("."), target: inode },
      { name: utf8Encode(".."), target: parent ?? inode },
      ...members,
    ]);
    inode.size = directorySize(inode.blocks);
    return inode;
  };
  add(root, undefined);
  return inodes;
}

function contentLength(node: Exclude<TreeNode, Directory>): number {
  if (node.kind === "file") return node.content.length;
  return node.kind === "symlink" ? node.target.length : 0;
}

/** The bytes after the last whole block. */
function tailBytes({ size }: Inode): number {
  return size % EROFS_BLOCK;
}

function wholeBlocks(inode: Inode): number {
  return inode.isInline ? Math.floor(inode.size / EROFS_BLOCK) : Math.ceil(inode.size / EROFS_BLOCK);
}

/** Gives each inode its place; what stands behind one is in the same block as its beginning. @returns the end, whole blocks. */
function placeInodes(inodes: readonly Inode[]): number {
  let at = SUPERBLOCK_AT + SUPERBLOCK_BYTES;
  for (const inode of inodes) {
    const head = INODE_BYTES + inode.xattrs.length;
    const tail = tailBytes(inode);
    inode.isInline = tail > 0 && head + tail <= EROFS_BLOCK;
    const whole = head + (inode.isInline ? tail : 0);
    // A head that is larger than a block begins with one.
    const needed = Math.min(whole, EROFS_BLOCK);
    if ((at % EROFS_BLOCK) + needed > EROFS_BLOCK) at = Math.ceil(at / EROFS_BLOCK) * EROFS_BLOCK;
    inode.at = at;
    at = Math.ceil((at + whole) / SLOT_BYTES) * SLOT_BYTES;
  }
  return Math.ceil(at / EROFS_BLOCK) * EROFS_BLOCK;
}

function metadata(inodes: readonly Inode[], end: number, length: number, uuid: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(end);
  const view = new DataView(bytes.buffer);
  for (const inode of inodes) writeInode(bytes, view, inode);
  const root = inodes[0];
  if (root === undefined || uuid.length !== UUID_BYTES)
    throw new RangeError("an image has a root and a UUID");
  const at = SUPERBLOCK_AT;
  view.setUint32(at, MAGIC, true);
  view.setUint32(at + 8, FEATURE_CHECKSUM, true);
  view.setUint8(at + 12, Math.log2(EROFS_BLOCK));
  view.setUint16(at + 14, root.at / SLOT_BYTES, true);
  view.setBigUint64(at + 16, BigInt(inodes.length), true);
  view.setUint32(at + 36, length / EROFS_BLOCK, true);
  bytes.set(uuid, at + 48);
  // Linux leaves out the inversion at the end.
  view.setUint32(at + 4, ~crc32c(bytes.subarray(at, EROFS_BLOCK)) >>> 0, true);
  return bytes;
}

function writeInode(bytes: Uint8Array, view: DataView, inode: Inode): void {
  const { node, at, xattrs } = inode;
  view.setUint16(at, EXTENDED_INODE | (inode.isInline ? FLAT_INLINE : FLAT_PLAIN), true);
  view.setUint16(at + 2, xattrCount(xattrs), true);
  view.setUint16(at + 4, FORMAT_BITS[node.kind] | node.mode, true);
  view.setBigUint64(at + 8, BigInt(inode.size), true);
  view.setUint32(at + 16, deviceOrBlock(inode), true);
  view.setUint32(at + 20, inode.number, true);
  view.setUint32(at + 24, node.uid, true);
  view.setUint32(at + 28, node.gid, true);
  view.setBigUint64(at + 32, BigInt(Math.floor(node.mtime)), true);
  view.setUint32(at + 44, inode.links, true);
  bytes.set(xattrs, at + INODE_BYTES);
  if (inode.isInline) {
    const tail = tailBytes(inode);
    bytes.set(content(inode, inode.size - tail, tail), at + INODE_BYTES + xattrs.length);
  }
}

/** A device's numbers as the kernel keeps them, or the first block of content. Source: Linux, kdev_t.h, new_encode_dev(). */
function deviceOrBlock({ node, block }: Inode): number {
  if (node.kind !== "character" && node.kind !== "block") return block;
  const { major, minor } = node;
  if (major > 0xfff || minor > 0xfffff) {
    throw new KataError("invalid-layer", { operation: "write device", object: `${major}:${minor}` });
  }
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

function content({ node, blocks }: Inode, offset: number, length: number): Uint8Array {
  switch (node.kind) {
    case "file":
      return node.content.source.read(node.content.offset + offset, length);
    case "symlink":
      return node.target.subarray(offset, offset + length);
    case "directory":
      return directoryBytes(blocks, ({ at, node: { kind } }) => ({
        inode: at / SLOT_BYTES,
        type: ENTRY_TYPES[kind],
      })).subarray(offset, offset + length);
    default:
      return new Uint8Array(0);
  }
}

/** The content that does not stand behind the inode, the last block filled up. */
function* contentBlocks(inode: Inode): Generator<Uint8Array> {
  const end = inode.isInline ? inode.size - tailBytes(inode) : inode.size;
  for (let offset = 0; offset < end; offset += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, end - offset);
    const piece = content(inode, offset, length);
    if (length % EROFS_BLOCK === 0) {
      yield piece;
      continue;
    }
    const filled = new Uint8Array(Math.ceil(length / EROFS_BLOCK) * EROFS_BLOCK);
    filled.set(piece);
    yield filled;
  }
}
