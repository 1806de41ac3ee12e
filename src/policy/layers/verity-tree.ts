/**
 * dm-verity's tree of hashes: format 1, SHA-256, blocks of 4096 bytes, each hashed behind a salt.
 *
 * Source: Linux, Documentation/admin-guide/device-mapper/verity.rst.
 */
import { toHex } from "../../crypto/sha256.ts";
import { KataError } from "../../kata-error.ts";

export const VERITY_BLOCK = 4096;
const HASH_SIZE = 32;
/** The salt of layers: it has no secret to keep, and equal layers are to have equal hashes. */
export const LAYER_SALT: Uint8Array = new Uint8Array(32);

/** The SHA-256 digest of two byte strings, one after the other. */
export type HashPair = (first: Uint8Array, second: Uint8Array) => Uint8Array;

export interface VerityTree {
  /** Hex. */
  readonly rootHash: string;
  /** The levels as they stand on disk after the data: the top one first. */
  readonly levels: readonly Uint8Array[];
  /** Blocks of data. */
  readonly blocks: number;
}

/**
 * The tree over `parts`, which are the data one after the other.
 *
 * @throws KataError `invalid-argument` unless they are whole blocks together.
 */
export function verityTree(
  parts: readonly Uint8Array[],
  hash: HashPair,
  salt: Uint8Array = LAYER_SALT,
): VerityTree {
  const hasher = new VerityHasher(hash, salt);
  for (const part of parts) hasher.add(part);
  return hasher.finish();
}

/** Makes a tree over data that comes piece by piece, of any size. */
export class VerityHasher {
  readonly #hash: HashPair;
  readonly #salt: Uint8Array;
  readonly #unfinished = new Uint8Array(VERITY_BLOCK);
  #filled = 0;
  #hashes: Uint8Array = new Uint8Array(1024 * HASH_SIZE);
  #blocks = 0;

  constructor(hash: HashPair, salt: Uint8Array = LAYER_SALT) {
    this.#hash = hash;
    this.#salt = salt;
  }

  add(part: Uint8Array): void {
    let at = 0;
    if (this.#filled > 0) {
      at = Math.min(VERITY_BLOCK - this.#filled, part.length);
      this.#unfinished.set(part.subarray(0, at), this.#filled);
      this.#filled += at;
      if (this.#filled < VERITY_BLOCK) return;
      this.#addBlock(this.#unfinished);
      this.#filled = 0;
    }
    for (; at + VERITY_BLOCK <= part.length; at += VERITY_BLOCK)
      this.#addBlock(part.subarray(at, at + VERITY_BLOCK));
    this.#unfinished.set(part.subarray(at));
    this.#filled = part.length - at;
  }

  /** @throws KataError `invalid-argument` unless what came are whole blocks, at least one. */
  finish(): VerityTree {
    if (this.#filled > 0 || this.#blocks === 0) {
      throw new KataError("invalid-argument", {
        operation: "make verity tree",
        object: `${this.#blocks * VERITY_BLOCK + this.#filled} bytes`,
        hint: `a positive multiple of ${VERITY_BLOCK} was expected`,
      });
    }
    const levels: Uint8Array[] = [];
    let hashes = this.#hashes.subarray(0, this.#blocks * HASH_SIZE);
    while (hashes.length > HASH_SIZE) {
      const level = new Uint8Array(Math.ceil(hashes.length / VERITY_BLOCK) * VERITY_BLOCK);
      level.set(hashes);
      levels.unshift(level);
      hashes = new Uint8Array((level.length / VERITY_BLOCK) * HASH_SIZE);
      for (let i = 0; i * VERITY_BLOCK < level.length; i++) {
        const block = level.subarray(i * VERITY_BLOCK, (i + 1) * VERITY_BLOCK);
        hashes.set(this.#hash(this.#salt, block), i * HASH_SIZE);
      }
    }
    return { rootHash: toHex(hashes), levels, blocks: this.#blocks };
  }

  #addBlock(block: Uint8Array): void {
    const at = this.#blocks * HASH_SIZE;
    if (at === this.#hashes.length) {
      const larger = new Uint8Array(2 * at);
      larger.set(this.#hashes);
      this.#hashes = larger;
    }
    this.#hashes.set(this.#hash(this.#salt, block), at);
    this.#blocks++;
  }
}
