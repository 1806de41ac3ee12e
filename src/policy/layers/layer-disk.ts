/**
 * A layer as a disk that the guest mounts through dm-verity: a file system, the tree of its hashes, and a block that tells where
 * the tree is.
 *
 * ```
 * file system │ hashes, the top level first │ 0… │ u32 block size, u32 hash block size, u64 blocks, 0…
 * ```
 *
 * The file system is the archive itself with an index (AKS's, which a kernel module of AKS's mounts), or EROFS (which every kernel
 * mounts). Source of the layout: tardev-snapshotter in Microsoft's fork of Kata Containers, 3.2.0.azl5, facts only.
 */
import type { ByteSource } from "./byte-source.ts";
import { erofsImage } from "./erofs-image.ts";
import { layerTree } from "./layer-tree.ts";
import { tarfsIndex } from "./tarfs-index.ts";
import { type HashPair, VERITY_BLOCK, VerityHasher, type VerityTree } from "./verity-tree.ts";

/** What a layer's file system is; the names are the kernel's. */
export type LayerFormat = "erofs" | "tar";

const TRAILER_BYTES = 512;
const PIECE_BYTES = 1 << 20;

/** The sizes that a layer's last sector tells. */
export interface LayerTrailer {
  readonly blockBytes: number;
  readonly hashBlockBytes: number;
  readonly blocks: number;
}

/**
 * The disk of a layer, from its beginning to its end.
 *
 * @param diffId the archive's digest, `sha256:…`: EROFS has a part of it as its UUID.
 * @returns piece by piece, each of which holds until the next one; at last the tree's root and size.
 * @throws KataError `invalid-tar`, `invalid-layer`.
 */
export function* layerDiskPieces(
  tar: ByteSource,
  format: LayerFormat,
  diffId: string,
  hash: HashPair,
): Generator<Uint8Array, VerityTree> {
  const hasher = new VerityHasher(hash);
  for (const piece of format === "erofs" ? erofsPieces(tar, diffId) : tarPieces(tar)) {
    hasher.add(piece);
    yield piece;
  }
  const tree = hasher.finish();
  yield* tree.levels;
  yield trailerBlock(tree.blocks);
  return tree;
}

/** Makes the disk of a layer at once. @param write gets its pieces; absent: only the hash is wanted. @see layerDiskPieces */
export function writeLayerDisk(
  tar: ByteSource,
  format: LayerFormat,
  diffId: string,
  hash: HashPair,
  write: (piece: Uint8Array) => void = () => undefined,
): VerityTree {
  const pieces = layerDiskPieces(tar, format, diffId, hash);
  for (;;) {
    const next = pieces.next();
    if (next.done === true) return next.value;
    write(next.value);
  }
}

function erofsPieces(tar: ByteSource, diffId: string): Generator<Uint8Array> {
  return erofsImage(layerTree(tar), uuidOf(diffId)).pieces();
}

function* tarPieces(tar: ByteSource): Generator<Uint8Array> {
  const index = tarfsIndex(tar);
  for (let at = 0; at < tar.length; at += PIECE_BYTES)
    yield tar.read(at, Math.min(PIECE_BYTES, tar.length - at));
  yield index;
}

/** A UUID of the kind that others make for their own purposes. Source: RFC 9562, section 5.8. */
function uuidOf(diffId: string): Uint8Array {
  const digits = diffId.replace(/^sha256:/, "").slice(0, 32);
  const bytes = Uint8Array.from({ length: 16 }, (_, i) =>
    Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16),
  );
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes;
}

function trailerBlock(blocks: number): Uint8Array {
  const bytes = new Uint8Array(VERITY_BLOCK);
  const view = new DataView(bytes.buffer, VERITY_BLOCK - TRAILER_BYTES);
  view.setUint32(0, VERITY_BLOCK, true);
  view.setUint32(4, VERITY_BLOCK, true);
  view.setBigUint64(8, BigInt(blocks), true);
  return bytes;
}
