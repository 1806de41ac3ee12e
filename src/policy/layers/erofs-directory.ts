/**
 * The content of a directory in an EROFS image: blocks of entries, each block with its names behind its entries.
 *
 * Source: Linux Documentation/filesystems/erofs.rst, "Directories"; fs/erofs/erofs_fs.h, struct erofs_dirent.
 */

export const EROFS_BLOCK = 4096;
const ENTRY_BYTES = 12;

/** Types of entries. Source: Linux, fs_types.h, FT_*. */
export const ENTRY_TYPES = { file: 1, directory: 2, character: 3, block: 4, fifo: 5, symlink: 7 } as const;

/** A name of a directory; `target` is whatever the caller knows the inode by. */
export interface DirectoryEntry<T> {
  readonly name: Uint8Array;
  readonly target: T;
}

/** The entries by the blocks that they come to stand in. They are sorted by the bytes of their names, `.` and `..` among them. */
export function directoryBlocks<T>(entries: readonly DirectoryEntry<T>[]): DirectoryEntry<T>[][] {
  const blocks: DirectoryEntry<T>[][] = [];
  let used = EROFS_BLOCK + 1;
  for (const entry of [...entries].sort((a, b) => compareBytes(a.name, b.name))) {
    const bytes = ENTRY_BYTES + entry.name.length;
    if (used + bytes > EROFS_BLOCK) {
      blocks.push([]);
      used = 0;
    }
    blocks.at(-1)?.push(entry);
    used += bytes;
  }
  return blocks;
}

/** Bytes of a directory: whole blocks, and of the last one what is used. */
export function directorySize<T>(blocks: readonly (readonly DirectoryEntry<T>[])[]): number {
  const last = blocks.at(-1) ?? [];
  return (
    (blocks.length - 1) * EROFS_BLOCK + last.reduce((sum, { name }) => sum + ENTRY_BYTES + name.length, 0)
  );
}

/** The content. @param resolve tells the inode's number and its type of entry. */
export function directoryBytes<T>(
  blocks: readonly (readonly DirectoryEntry<T>[])[],
  resolve: (target: T) => { readonly inode: number; readonly type: number },
): Uint8Array {
  const bytes = new Uint8Array(directorySize(blocks));
  const view = new DataView(bytes.buffer);
  for (const [index, block] of blocks.entries()) {
    const start = index * EROFS_BLOCK;
    let nameAt = block.length * ENTRY_BYTES;
    for (const [position, { name, target }] of block.entries()) {
      const at = start + position * ENTRY_BYTES;
      const { inode, type } = resolve(target);
      view.setBigUint64(at, BigInt(inode), true);
      view.setUint16(at + 8, nameAt, true);
      view.setUint8(at + 10, type);
      bytes.set(name, start + nameAt);
      nameAt += name.length;
    }
  }
  return bytes;
}

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
