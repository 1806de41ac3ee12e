/**
 * The index that makes a tar archive a file system that can be mounted as it is.
 *
 * ```
 * tar │ inode table │ directory entries │ long symlink targets │ names │ 0… │ superblock
 * ```
 *
 * Source: tardev-snapshotter's layer format in Microsoft's fork of Kata Containers, 3.2.0.azl5, facts only. All numbers are
 * little-endian. Equal archives must give equal bytes, or root hashes would differ: where that program does something odd,
 * so does this one.
 */
import type { ByteSource } from "./byte-source.ts";
import { type TarEntry, tarEntries } from "./tar-entries.ts";

const INODE_SIZE = 32;
const ENTRY_SIZE = 32;
const PAGE = 4096;
/** The superblock is at the beginning of the last sector. */
const SECTOR = 512;
const FLAG_OPAQUE = 1;
const ROOT_MODE = 0o040555;

const FORMAT_BITS = {
  file: 0o100000,
  symlink: 0o120000,
  character: 0o020000,
  block: 0o060000,
  directory: 0o040000,
  fifo: 0o010000,
} as const;

/** Types of directory entries. Source: Linux, dirent.h, DT_*. */
const ENTRY_TYPES = { file: 8, symlink: 10, character: 2, block: 6, directory: 4, fifo: 1 } as const;

interface Inode {
  kind: keyof typeof FORMAT_BITS;
  mode: number;
  flags: number;
  uid: number;
  gid: number;
  mtime: number;
  size: number;
  offset: number | bigint;
  /** A symlink's target that is not in its header. */
  longTarget: Uint8Array | undefined;
  readonly children: Map<string, Inode>;
  number: number;
}

const WHITEOUT = ".wh.";
const OPAQUE_WHITEOUT = ".wh..wh..opq";

/** The index of the archive, to be appended to it; archive and index together are whole pages. */
export function tarfsIndex(
  tar: Uint8Array | ByteSource,
  onSkipped?: (name: string, type: string) => void,
): Uint8Array {
  const root = newDirectory(ROOT_MODE);
  const longTargets: Uint8Array[] = [];
  for (const entry of tarEntries(tar, onSkipped)) insert(root, entry, longTargets);
  return layOut(tar.length, root, longTargets);
}

function newDirectory(mode = ROOT_MODE): Inode {
  return {
    kind: "directory",
    mode,
    flags: 0,
    uid: 0,
    gid: 0,
    mtime: 0,
    size: 0,
    offset: 0,
    longTarget: undefined,
    children: new Map(),
    number: 0,
  };
}

/** The parts of a path; `..` goes up but not above the root. */
function pathParts(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts;
}

function insert(root: Inode, entry: TarEntry, longTargets: Uint8Array[]): void {
  const parts = pathParts(entry.name);
  const last = parts.pop();
  if (last === undefined) {
    if (entry.type === "directory") Object.assign(root, attributes(entry));
    return;
  }
  let parent = root;
  for (const part of parts) {
    let below = parent.children.get(part);
    if (below?.kind !== "directory") {
      below = newDirectory();
      parent.children.set(part, below);
    }
    parent = below;
  }
  if (last === OPAQUE_WHITEOUT) {
    parent.flags |= FLAG_OPAQUE;
  } else if (last.startsWith(WHITEOUT)) {
    parent.children.set(last.slice(WHITEOUT.length), {
      ...newDirectory(),
      ...attributes(entry),
      kind: "character",
      mode: FORMAT_BITS.character | (entry.mode & 0o777),
    });
  } else if (entry.type === "hardlink") {
    const target = lookUp(root, entry.linkName);
    if (target !== undefined && target.kind !== "directory") parent.children.set(last, target);
  } else {
    const existing = parent.children.get(last);
    if (entry.type === "directory" && existing?.kind === "directory") {
      Object.assign(existing, attributes(entry));
      return;
    }
    parent.children.set(last, newInode(entry, entry.type, longTargets));
  }
}

function lookUp(root: Inode, path: string): Inode | undefined {
  let inode: Inode | undefined = root;
  for (const part of pathParts(path)) inode = inode?.children.get(part);
  return inode;
}

function attributes(entry: TarEntry) {
  const format = entry.type === "hardlink" ? FORMAT_BITS.file : FORMAT_BITS[entry.type];
  return { mode: format | (entry.mode & 0o777), uid: entry.uid, gid: entry.gid, mtime: entry.mtime };
}

function newInode(entry: TarEntry, kind: keyof typeof FORMAT_BITS, longTargets: Uint8Array[]): Inode {
  const inode: Inode = { ...newDirectory(), ...attributes(entry), kind };
  if (kind === "file") {
    inode.size = entry.size;
    inode.offset = entry.offset;
  } else if (kind === "character" || kind === "block") {
    inode.offset = BigInt(entry.minor) | (BigInt(entry.major) << 32n);
  } else if (kind === "symlink") {
    const target = new TextEncoder().encode(entry.linkName);
    inode.size = target.length;
    if (entry.linkOffset !== undefined) {
      inode.offset = entry.linkOffset;
    } else {
      inode.longTarget = target;
      longTargets.push(target);
    }
  }
  return inode;
}

interface NamedInode {
  readonly name: Uint8Array;
  readonly inode: Inode;
}

/** Numbers inodes breadth first, which is the order of everything that follows. */
function numberInodes(root: Inode): { readonly inodes: Inode[]; readonly directories: NamedInode[][] } {
  const inodes = [root];
  root.number = 1;
  const directories: NamedInode[][] = [];
  for (let i = 0; i < inodes.length; i++) {
    const inode = inodes[i];
    if (inode?.kind !== "directory") continue;
    const members = [...inode.children]
      .map(([name, below]) => ({ name: new TextEncoder().encode(name), inode: below }))
      .sort((a, b) => compareBytes(a.name, b.name));
    directories.push(members);
    for (const { inode: below } of members) {
      if (below.number === 0) below.number = inodes.push(below);
    }
  }
  return { inodes, directories };
}

function layOut(tarLength: number, root: Inode, longTargets: readonly Uint8Array[]): Uint8Array {
  const { inodes, directories } = numberInodes(root);
  const entriesAt = tarLength + inodes.length * INODE_SIZE;
  const entryCount = directories.reduce((sum, members) => sum + members.length, 0);
  const targetsAt = entriesAt + entryCount * ENTRY_SIZE;
  const namesAt = targetsAt + longTargets.reduce((sum, target) => sum + target.length, 0);
  const nameBytes = directories.flat().reduce((sum, { name }) => sum + name.length, 0);
  const end = Math.ceil((namesAt + nameBytes) / PAGE) * PAGE + PAGE;

  const index = new Uint8Array(end - tarLength);
  const view = new DataView(index.buffer);
  let nextEntries = entriesAt;
  let nextTarget = targetsAt;
  let directory = 0;
  for (const [i, inode] of inodes.entries()) {
    if (inode.kind === "directory") {
      inode.size = (directories[directory++]?.length ?? 0) * ENTRY_SIZE;
      inode.offset = nextEntries;
      nextEntries += inode.size;
    }
    // Offsets go by inode number although the texts stand in the order of the archive.
    if (inode.longTarget !== undefined) {
      inode.offset = nextTarget;
      nextTarget += inode.longTarget.length;
    }
    writeInode(view, i * INODE_SIZE, inode);
  }
  let at = entriesAt - tarLength;
  let nameAt = namesAt;
  for (const { name, inode } of directories.flat()) {
    view.setBigUint64(at, BigInt(inode.number), true);
    view.setBigUint64(at + 8, BigInt(nameAt), true);
    view.setBigUint64(at + 16, BigInt(name.length), true);
    view.setUint8(at + 24, ENTRY_TYPES[inode.kind]);
    index.set(name, nameAt - tarLength);
    at += ENTRY_SIZE;
    nameAt += name.length;
  }
  let targetAt = targetsAt - tarLength;
  for (const target of longTargets) {
    index.set(target, targetAt);
    targetAt += target.length;
  }
  const superblock = index.length - SECTOR;
  view.setBigUint64(superblock, BigInt(tarLength), true);
  view.setBigUint64(superblock + 8, BigInt(inodes.length), true);
  return index;
}

function writeInode(view: DataView, at: number, inode: Inode): void {
  view.setUint16(at, inode.mode, true);
  view.setUint8(at + 2, inode.flags);
  view.setUint8(at + 3, Math.floor(inode.mtime / 0x1_0000_0000) & 0xf);
  view.setUint32(at + 4, inode.uid, true);
  view.setUint32(at + 8, inode.gid, true);
  view.setUint32(at + 12, inode.mtime >>> 0, true);
  view.setBigUint64(at + 16, BigInt(inode.size), true);
  view.setBigUint64(at + 24, BigInt(inode.offset), true);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
