/**
 * dm-verity's tree of hashes: format 1, SHA-256, blocks of 4096 bytes, a salt of 32 zero bytes before each block.
 *
 * Source: Linux, Documentation/admin-guide/device-mapper/verity.rst.
 */
import { KataError } from "../../kata-error.ts";

export const VERITY_BLOCK = 4096;
const HASH_SIZE = 32;
const SALT = new Uint8Array(32);

/** The SHA-256 digest of two byte strings, one after the other. */
export type HashPair = (first: Uint8Array, second: Uint8Array) => Uint8Array;

export interface VerityTree {
  /** Hex. */
  readonly rootHash: string;
  /** The levels as they stand on disk after the data: the top one first. */
  readonly levels: readonly Uint8Array[];
}

/**
 * The tree over `parts`, which are the data one after the other.
 *
 * @throws KataError `invalid-argument` unless they are whole blocks together and each is whole blocks or the last.
 */
export function verityTree(parts: readonly Uint8Array[], hash: HashPair): VerityTree {
  const levels: Uint8Array[] = [];
  let hashes = hashBlocks(parts, hash);
  while (hashes.length > HASH_SIZE) {
    const level = new Uint8Array(Math.ceil(hashes.length / VERITY_BLOCK) * VERITY_BLOCK);
    level.set(hashes);
    levels.unshift(level);
    hashes = hashBlocks([level], hash);
  }
  return { rootHash: toHex(hashes), levels };
}

/** Digests of all blocks; a block may span parts. */
function hashBlocks(parts: readonly Uint8Array[], hash: HashPair): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length % VERITY_BLOCK !== 0 || length === 0) {
    throw new KataError("invalid-argument", {
      operation: "make verity tree",
      object: `${length} bytes`,
      hint: `a positive multiple of ${VERITY_BLOCK} was expected`,
    });
  }
  const hashes = new Uint8Array((length / VERITY_BLOCK) * HASH_SIZE);
  let done = 0;
  const spanning = new Uint8Array(VERITY_BLOCK);
  let filled = 0;
  const add = (block: Uint8Array) => {
    hashes.set(hash(SALT, block), done);
    done += HASH_SIZE;
  };
  for (const part of parts) {
    let at = 0;
    if (filled > 0) {
      at = Math.min(VERITY_BLOCK - filled, part.length);
      spanning.set(part.subarray(0, at), filled);
      filled += at;
      if (filled === VERITY_BLOCK) {
        add(spanning);
        filled = 0;
      }
    }
    for (; at + VERITY_BLOCK <= part.length; at += VERITY_BLOCK) add(part.subarray(at, at + VERITY_BLOCK));
    if (at < part.length) {
      spanning.set(part.subarray(at));
      filled = part.length - at;
    }
  }
  return hashes;
}

function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
