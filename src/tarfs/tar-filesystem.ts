/**
 * Reads a layer of the kind `tar`: an archive whose index makes it a file system.
 *
 * The index is read as a whole; contents are read where they are. Whatever it says is checked against the layer's own size: a layer is no
 * more to be trusted than whoever made it. Source of the layout: see policy/layers/tarfs-index.ts, which writes it.
 */
import { KataError } from "../kata-error.ts";
import { utf8Decode } from "../sys/utf8.ts";

/** Reads `length` bytes at `offset`. @throws KataError if they are not there. */
export type ReadAt = (offset: number, length: number) => Uint8Array<ArrayBuffer>;

export type TarKind = "file" | "directory" | "symlink" | "character" | "block" | "fifo";

export interface TarInode {
  readonly number: number;
  readonly kind: TarKind;
  /** Type and permissions, as in stat(2). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  readonly size: number;
  /** Of content, entries or the link's target. */
  readonly offset: number;
  readonly major: number;
  readonly minor: number;
  /** Whether it hides what layers below have in this directory. */
  readonly isOpaque: boolean;
}

export interface TarDirectoryEntry {
  readonly name: Uint8Array;
  readonly inode: number;
  /** As in dirent.h, DT_*. */
  readonly type: number;
}

export const ROOT_INODE = 1;

const SECTOR = 512;
const INODE_BYTES = 32;
const ENTRY_BYTES = 32;
const FLAG_OPAQUE = 1;
/** An index of some million files. */
const MAX_INDEX_BYTES = 512 * 1024 * 1024;
const MAX_TARGET_BYTES = 4096;
const MAX_NAME_BYTES = 255;

const KINDS: ReadonlyMap<number, TarKind> = new Map([
  [0o100000, "file"],
  [0o120000, "symlink"],
  [0o020000, "character"],
  [0o060000, "block"],
  [0o040000, "directory"],
  [0o010000, "fifo"],
]);
const FORMAT = 0o170000;

/** Bytes of archive and index in a whole layer of `size` bytes, whose last sector tells. @throws KataError `invalid-layer`. */
export function dataBytesOf(read: ReadAt, size: number): number {
  if (size < 2 * SECTOR) throw invalid(`it has ${size} bytes`);
  const trailer = new DataView(read(size - SECTOR, SECTOR).buffer);
  const dataBytes = trailer.getUint32(0, true) * Number(trailer.getBigUint64(8, true));
  if (dataBytes >= SECTOR && dataBytes <= size - SECTOR) return dataBytes;
  throw invalid("its last sector tells of no data");
}

export class TarFilesystem {
  readonly inodes: number;
  /** Bytes of archive and index. */
  readonly size: number;
  readonly #read: ReadAt;
  /** Where the index begins. */
  readonly #start: number;
  readonly #index: Uint8Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;

  /** @param dataBytes those of archive and index, see {@link dataBytesOf}. @throws KataError `invalid-layer`. */
  constructor(read: ReadAt, dataBytes: number) {
    if (dataBytes < SECTOR) throw invalid(`it has ${dataBytes} bytes`);
    const superblock = new DataView(read(dataBytes - SECTOR, SECTOR).buffer);
    const start = Number(superblock.getBigUint64(0, true));
    const count = Number(superblock.getBigUint64(8, true));
    if (
      start > dataBytes ||
      dataBytes - start > MAX_INDEX_BYTES ||
      count < 1 ||
      count * INODE_BYTES > dataBytes - start
    )
      throw invalid(`an index of ${count} inodes at ${start}`);
    this.inodes = count;
    this.size = dataBytes;
    this.#read = read;
    this.#start = start;
    this.#index = read(start, dataBytes - start);
    this.#view = new DataView(this.#index.buffer, this.#index.byteOffset, this.#index.length);
    if (this.inode(ROOT_INODE).kind !== "directory") throw invalid("its root is no directory");
  }

  /** @throws KataError `invalid-layer` for a number that there is not, or an inode of no known kind. */
  inode(number: number): TarInode {
    if (!Number.isInteger(number) || number < 1 || number > this.inodes) throw invalid(`inode ${number}`);
    const at = (number - 1) * INODE_BYTES;
    const view = this.#view;
    const mode = view.getUint16(at, true);
    const kind = KINDS.get(mode & FORMAT);
    if (kind === undefined) throw invalid(`inode ${number} of mode ${mode.toString(8)}`);
    const isDevice = kind === "character" || kind === "block";
    return {
      number,
      kind,
      mode,
      isOpaque: (view.getUint8(at + 2) & FLAG_OPAQUE) !== 0,
      mtime: (view.getUint8(at + 3) & 0xf) * 2 ** 32 + view.getUint32(at + 12, true),
      uid: view.getUint32(at + 4, true),
      gid: view.getUint32(at + 8, true),
      size: isDevice ? 0 : Number(view.getBigUint64(at + 16, true)),
      offset: isDevice ? 0 : Number(view.getBigUint64(at + 24, true)),
      minor: isDevice ? view.getUint32(at + 24, true) : 0,
      major: isDevice ? view.getUint32(at + 28, true) : 0,
    };
  }

  /** How many entries a directory has. */
  entryCount({ kind, size }: TarInode): number {
    return kind === "directory" ? Math.floor(size / ENTRY_BYTES) : 0;
  }

  /** @throws KataError `invalid-layer` for one outside of the index. */
  entry(directory: TarInode, position: number): TarDirectoryEntry {
    const at = directory.offset - this.#start + position * ENTRY_BYTES;
    if (at < 0 || at + ENTRY_BYTES > this.#index.length)
      throw invalid(`entries of inode ${directory.number}`);
    const view = this.#view;
    const nameAt = Number(view.getBigUint64(at + 8, true)) - this.#start;
    const length = Number(view.getBigUint64(at + 16, true));
    if (nameAt < 0 || length < 1 || length > MAX_NAME_BYTES || nameAt + length > this.#index.length)
      throw invalid(`a name in inode ${directory.number}`);
    return {
      inode: Number(view.getBigUint64(at, true)),
      name: this.#index.subarray(nameAt, nameAt + length),
      type: view.getUint8(at + 24),
    };
  }

  /** The entry of a name; undefined if there is none. Names are sorted by their bytes. */
  lookUp(directory: TarInode, name: Uint8Array): TarDirectoryEntry | undefined {
    let [low, high] = [0, this.entryCount(directory)];
    while (low < high) {
      const middle = (low + high) >> 1;
      const entry = this.entry(directory, middle);
      const order = compareBytes(entry.name, name);
      if (order === 0) return entry;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }

  /** Where a link leads to. */
  target({ number, size, offset }: TarInode): string {
    if (size > MAX_TARGET_BYTES || offset + size > this.size) throw invalid(`target of inode ${number}`);
    return utf8Decode(this.#read(offset, size));
  }

  /** Where the content from `from` stands, at most `length` bytes of it. @throws KataError `invalid-layer`. */
  content(
    { kind, number, size, offset }: TarInode,
    from: number,
    length: number,
  ): readonly [offset: number, length: number] {
    if (kind !== "file" || offset + size > this.size) throw invalid(`content of inode ${number}`);
    const count = Math.max(Math.min(length, size - from), 0);
    return [offset + from, count];
  }
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function invalid(object: string): KataError {
  return new KataError("invalid-layer", {
    operation: "read layer",
    object,
    hint: "it is no tar archive with an index and hashes, as tardev-snapshotter makes them",
  });
}
