/**
 * A guest's root disk that its kernel checks: the configuration's `kernel_verity_params`, and what the kernel is told by them.
 *
 * The disk has two partitions, the file system and the tree of hashes, as upstream's image builder makes them.
 * Sources: upstream Kata Containers, `kernel_verity_params`; Linux Documentation/admin-guide/device-mapper/dm-init.rst and verity.rst.
 */
import { KataError } from "../../kata-error.ts";

export interface VerityParameters {
  /** Hexadecimal. */
  readonly rootHash: string;
  /** Hexadecimal; empty for none. */
  readonly salt: string;
  readonly dataBlocks: number;
  /** Bytes. */
  readonly dataBlockSize: number;
  /** Bytes. */
  readonly hashBlockSize: number;
}

const NUMBERS = {
  data_blocks: "dataBlocks",
  data_block_size: "dataBlockSize",
  hash_block_size: "hashBlockSize",
} as const;
const KEYS = ["root_hash", "salt", ...Object.keys(NUMBERS)];
const SECTOR_BYTES = 512;

/** @throws KataError `invalid-configuration` unless `text` has each key once, and values that make sense. */
export function parseVerityParameters(text: string): VerityParameters {
  const refuse = (why: string) =>
    new KataError("invalid-configuration", {
      operation: "read kernel_verity_params",
      object: `${JSON.stringify(text.slice(0, 400))}: ${why}`,
      hint: `it is ${KEYS.map((key) => `${key}=…`).join(",")}, as npm run image -- --verity writes it to verity-params`,
    });
  const values = new Map<string, string>();
  for (const word of text.split(",")) {
    const equals = word.indexOf("=");
    const key = word.slice(0, Math.max(equals, 0)).trim();
    if (!KEYS.includes(key)) throw refuse(`${JSON.stringify(word)} is none of its keys`);
    if (values.has(key)) throw refuse(`${key} comes twice`);
    values.set(key, word.slice(equals + 1).trim());
  }
  const number = (key: keyof typeof NUMBERS, least: number, most: number): number => {
    const value = Number(values.get(key) ?? Number.NaN);
    if (/^\d{1,15}$/.test(values.get(key) ?? "") && value >= least && value <= most) return value;
    throw refuse(`${key} is missing or no number from ${least} to ${most}`);
  };
  const blockSize = (key: keyof typeof NUMBERS): number => {
    const value = number(key, SECTOR_BYTES, 65_536);
    if ((value & (value - 1)) !== 0) throw refuse(`${key} is no power of two`);
    return value;
  };
  const rootHash = values.get("root_hash") ?? "";
  if (!/^[0-9a-f]{64}$/i.test(rootHash)) throw refuse("root_hash is not 64 hexadecimal digits");
  const salt = values.get("salt") ?? "";
  if (!/^([0-9a-f]{2}){0,256}$/i.test(salt)) throw refuse("salt is not hexadecimal");
  return {
    rootHash: rootHash.toLowerCase(),
    salt: salt.toLowerCase(),
    dataBlocks: number("data_blocks", 1, 2 ** 40),
    dataBlockSize: blockSize("data_block_size"),
    hashBlockSize: blockSize("hash_block_size"),
  };
}

/** What the kernel makes the device of that its root is on. @param disk the node of the disk, to which the number of a partition is put. */
export function verityRootParameters(parameters: VerityParameters, disk: string): string[] {
  const { rootHash, salt, dataBlocks, dataBlockSize, hashBlockSize } = parameters;
  const sectors = dataBlocks * (dataBlockSize / SECTOR_BYTES);
  const target = [
    "verity",
    1,
    `${disk}1`,
    `${disk}2`,
    dataBlockSize,
    hashBlockSize,
    dataBlocks,
    0,
    "sha256",
    rootHash,
    salt || "-",
  ];
  return [`dm-mod.create="dm-verity,,,ro,0 ${sectors} ${target.join(" ")}"`, "root=/dev/dm-0"];
}
