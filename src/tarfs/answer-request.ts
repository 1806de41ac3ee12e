/** What a layer answers the kernel, request by request; no I/O but the layer's own. */
import { KataError } from "../kata-error.ts";
import { utf8Decode, utf8Encode } from "../sys/utf8.ts";
import {
  ATTRIBUTES_BYTES,
  ENTRY_BYTES,
  type FuseRequest,
  listedBytes,
  newAnswer,
  Operation,
  plainAnswer,
  writeAttributesAnswer,
  writeEntry,
  writeListed,
} from "./fuse-protocol.ts";
import type { TarDirectoryEntry, TarFilesystem, TarInode } from "./tar-filesystem.ts";

const ENOENT = 2;
const EIO = 5;
const EINVAL = 22;
const ERANGE = 34;
const ENOSYS = 38;
const ENODATA = 61;
const EPROTO = 71;

const MAJOR = 7;
const MINOR = 31;
/** Larger reads are cut by the kernel. */
const MAX_READ_BYTES = 1 << 20;
const MAX_WRITE_BYTES = 4096;
/** FUSE_MAX_PAGES and the pages of {@link MAX_READ_BYTES}. */
const FLAG_MAX_PAGES = 1 << 22;
const MAX_PAGES = 256;
/** FOPEN_KEEP_CACHE; FOPEN_CACHE_DIR. */
const KEEP_CACHE = 2;
const CACHE_DIRECTORY = 8;
const OPAQUE = "trusted.overlay.opaque";
const DIRECTORY_TYPE = 4;
const FILESYSTEM_BLOCK = 4096;

/** Reads content right into an answer. */
export type ReadInto = (offset: number, into: Uint8Array) => void;

/** @returns the answer; undefined for a request that has none. */
export function answerRequest(
  tar: TarFilesystem,
  request: FuseRequest,
  readInto: ReadInto,
): Uint8Array<ArrayBuffer> | undefined {
  const { operation, unique } = request;
  switch (operation) {
    case Operation.forget:
    case Operation.forgetMany:
    case Operation.interrupt:
      return undefined;
    default:
  }
  try {
    return answer(tar, request, readInto);
  } catch (error) {
    // A layer that contradicts itself, or cannot be read.
    if (error instanceof KataError || error instanceof RangeError) return plainAnswer(unique, EIO);
    throw error;
  }
}

function answer(
  tar: TarFilesystem,
  { operation, unique, node, body, view }: FuseRequest,
  readInto: ReadInto,
): Uint8Array<ArrayBuffer> {
  switch (operation) {
    case Operation.initialize:
      return initialize(unique, view);
    case Operation.lookUp: {
      const found = tar.lookUp(directory(tar, node), untilNul(body));
      if (found === undefined) return plainAnswer(unique, ENOENT);
      const reply = newAnswer(unique, ENTRY_BYTES);
      writeEntry(reply.view, tar.inode(found.inode));
      return reply.bytes;
    }
    case Operation.getAttributes: {
      const reply = newAnswer(unique, ATTRIBUTES_BYTES);
      writeAttributesAnswer(reply.view, tar.inode(node));
      return reply.bytes;
    }
    case Operation.readLink: {
      const target = utf8Encode(tar.target(tar.inode(node)));
      const reply = newAnswer(unique, target.length);
      reply.bytes.set(target, reply.bytes.length - target.length);
      return reply.bytes;
    }
    case Operation.open:
    case Operation.openDirectory: {
      tar.inode(node);
      const reply = newAnswer(unique, 16);
      reply.view.setUint32(
        8,
        KEEP_CACHE | (operation === Operation.openDirectory ? CACHE_DIRECTORY : 0),
        true,
      );
      return reply.bytes;
    }
    case Operation.read: {
      const wanted = Math.min(view.getUint32(16, true), MAX_READ_BYTES);
      const [offset, length] = tar.content(tar.inode(node), Number(view.getBigUint64(8, true)), wanted);
      const reply = newAnswer(unique, length);
      if (length > 0) readInto(offset, reply.bytes.subarray(reply.bytes.length - length));
      return reply.bytes;
    }
    case Operation.readDirectory: {
      const room = Math.min(view.getUint32(16, true), MAX_READ_BYTES);
      return listDirectory(tar, directory(tar, node), Number(view.getBigUint64(8, true)), room, unique);
    }
    case Operation.getXattr: {
      const isAsked = tar.inode(node).isOpaque && utf8Decode(untilNul(body.subarray(8))) === OPAQUE;
      return isAsked ? sized(unique, utf8Encode("y"), view.getUint32(0, true)) : plainAnswer(unique, ENODATA);
    }
    case Operation.listXattrs: {
      const names = tar.inode(node).isOpaque ? utf8Encode(`${OPAQUE}\0`) : new Uint8Array(0);
      return sized(unique, names, view.getUint32(0, true));
    }
    case Operation.statFilesystem: {
      const reply = newAnswer(unique, 80);
      reply.view.setBigUint64(0, BigInt(Math.ceil(tar.size / FILESYSTEM_BLOCK)), true);
      reply.view.setBigUint64(24, BigInt(tar.inodes), true);
      reply.view.setUint32(40, FILESYSTEM_BLOCK, true);
      reply.view.setUint32(44, 255, true);
      reply.view.setUint32(48, FILESYSTEM_BLOCK, true);
      return reply.bytes;
    }
    case Operation.release:
    case Operation.releaseDirectory:
    case Operation.flush:
    case Operation.access:
    case Operation.destroy:
      return plainAnswer(unique, 0);
    default:
      return plainAnswer(unique, ENOSYS);
  }
}

function initialize(unique: bigint, view: DataView): Uint8Array<ArrayBuffer> {
  if (view.getUint32(0, true) < MAJOR) return plainAnswer(unique, EPROTO);
  const reply = newAnswer(unique, 64);
  reply.view.setUint32(0, MAJOR, true);
  reply.view.setUint32(4, MINOR, true);
  reply.view.setUint32(8, view.getUint32(8, true), true);
  reply.view.setUint32(12, view.getUint32(12, true) & FLAG_MAX_PAGES, true);
  reply.view.setUint32(20, MAX_WRITE_BYTES, true);
  reply.view.setUint32(24, 1, true);
  reply.view.setUint16(28, MAX_PAGES, true);
  return reply.bytes;
}

function directory(tar: TarFilesystem, node: number): TarInode {
  const inode = tar.inode(node);
  if (inode.kind === "directory") return inode;
  throw new RangeError("no directory");
}

/** `.` and `..` come first; the kernel knows where `..` is. */
function listDirectory(
  tar: TarFilesystem,
  inode: TarInode,
  from: number,
  room: number,
  unique: bigint,
): Uint8Array<ArrayBuffer> {
  const special = (name: string): TarDirectoryEntry => ({
    inode: inode.number,
    type: DIRECTORY_TYPE,
    name: utf8Encode(name),
  });
  const end = tar.entryCount(inode) + 2;
  const listed: TarDirectoryEntry[] = [];
  let length = 0;
  for (let position = from; position < end; position++) {
    const entry = position < 2 ? special(position === 0 ? "." : "..") : tar.entry(inode, position - 2);
    const bytes = listedBytes(entry.name);
    if (length + bytes > room) break;
    listed.push(entry);
    length += bytes;
  }
  const reply = newAnswer(unique, length);
  let at = reply.bytes.length - length;
  for (const [index, entry] of listed.entries()) {
    writeListed(reply.bytes, at, entry, from + index + 1);
    at += listedBytes(entry.name);
  }
  return reply.bytes;
}

/** A value for who has room for it; who has none is told how much it takes. */
function sized(unique: bigint, value: Uint8Array, room: number): Uint8Array<ArrayBuffer> {
  if (room === 0) {
    const reply = newAnswer(unique, 8);
    reply.view.setUint32(0, value.length, true);
    return reply.bytes;
  }
  if (room < value.length) return plainAnswer(unique, ERANGE);
  const reply = newAnswer(unique, value.length);
  reply.bytes.set(value, reply.bytes.length - value.length);
  return reply.bytes;
}

function untilNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  if (end < 0) throw new RangeError(`no name (errno ${EINVAL})`);
  return bytes.subarray(0, end);
}
