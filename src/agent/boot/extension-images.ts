/**
 * Images that extend the guest's root: each is a disk that the host has named by a serial number, mounted read-only before the agent answers.
 *
 * The parameters on the kernel's command line are what is measured, and the disk tells whether it has hashes: where the two do not agree,
 * and where a disk is not the one that was meant, the guest does not start.
 * Source: upstream Kata Containers, docs/design/composable-vm-images.md (names, layout of the disk, what is refused).
 */
import { KataError } from "../../kata-error.ts";
import { exists, mkdirAll, readDirectory, readTextFileIfExists } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { awaitDevice } from "../device/await-device.ts";
import { splitParameters } from "../kernel-parameters.ts";
import { openVerityTable } from "../storage/verity-device.ts";
import type { KernelModules } from "./kernel-modules.ts";

const PARAMETER = /^kata\.extension\.(.*)\.verity_params$/s;
const NAME = /^[a-z0-9][a-z0-9_-]{0,9}$/;
const MAX_IMAGES = 8;
const PLACE = "/run/kata-extensions";
const FILESYSTEM = "erofs";
const SECTOR_BYTES = 512;
const MAX_BLOCKS = 2 ** 40;
/** How long a disk of the start may take to appear, ms. */
const DISK_DEADLINE_MS = 10_000;
const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;

export interface ExtensionImage {
  readonly name: string;
  /** Undefined for an image without hashes. */
  readonly verity: ExtensionVerity | undefined;
}

export interface ExtensionVerity {
  readonly rootHash: string;
  /** Hexadecimal; empty for none. */
  readonly salt: string;
  readonly blocks: number;
  readonly blockBytes: number;
  readonly hashBlockBytes: number;
}

/**
 * The images that the kernel's command line tells of, in its order.
 *
 * @throws KataError `invalid-argument` for one that comes twice, or is not described as it must be.
 */
export function extensionImages(commandLine: string): ExtensionImage[] {
  const images = new Map<string, ExtensionImage>();
  for (const [parameter, value] of splitParameters(commandLine)) {
    const name = PARAMETER.exec(parameter)?.[1];
    if (name === undefined) continue;
    if (!NAME.test(name) || images.has(name) || images.size >= MAX_IMAGES) {
      throw malformed(parameter, `at most ${MAX_IMAGES} images, each once, have names of a-z, 0-9, _ and -`);
    }
    images.set(name, { name, verity: value === "" ? undefined : parseVerity(parameter, value) });
  }
  return [...images.values()];
}

function parseVerity(parameter: string, text: string): ExtensionVerity {
  const values = new Map(
    text.split(",").map((pair): [string, string] => {
      const equals = pair.indexOf("=");
      return [pair.slice(0, Math.max(equals, 0)), pair.slice(equals + 1)];
    }),
  );
  const numberOf = (key: string, least: number, most: number): number => {
    const value = values.get(key) ?? "";
    if (/^\d{1,15}$/.test(value) && Number(value) >= least && Number(value) <= most) return Number(value);
    throw malformed(parameter, `${key} is no number from ${least} to ${most}`);
  };
  const rootHash = values.get("root_hash") ?? "";
  const salt = values.get("salt") ?? "";
  if (!/^[0-9a-f]{64}$/i.test(rootHash)) throw malformed(parameter, "root_hash has 64 hexadecimal digits");
  if (!/^([0-9a-f]{2}){0,256}$/i.test(salt)) throw malformed(parameter, "salt is hexadecimal");
  return {
    rootHash,
    salt,
    blocks: numberOf("data_blocks", 1, MAX_BLOCKS),
    blockBytes: numberOf("data_block_size", SECTOR_BYTES, 65_536),
    hashBlockBytes: numberOf("hash_block_size", SECTOR_BYTES, 65_536),
  };
}

function malformed(parameter: string, hint: string): KataError {
  return new KataError("invalid-argument", {
    operation: "read the kernel's command line",
    object: JSON.stringify(parameter.slice(0, 200)),
    hint,
  });
}

/** What is mounted of a disk, by what it has and what was said of it. */
export type MountSource =
  | {
      readonly kind: "checked";
      readonly data: string;
      readonly hashes: string;
      readonly verity: ExtensionVerity;
    }
  | { readonly kind: "plain"; readonly node: string };

/**
 * @param disk its node, `/dev/vdb`. @param has whether a node is there.
 * @throws KataError `failed-precondition` for hashes that nobody checks, and for checks without hashes.
 */
export function mountSource(
  { name, verity }: ExtensionImage,
  disk: string,
  has: (node: string) => boolean,
): MountSource {
  // Where a name ends with a digit, the number of a partition comes behind a letter.
  const separator = /\d$/.test(disk) ? "p" : "";
  const [data, hashes] = [`${disk}${separator}1`, `${disk}${separator}2`];
  const hasHashes = has(hashes);
  if (hasHashes && verity !== undefined) return { kind: "checked", data, hashes, verity };
  if (!hasHashes && verity === undefined) return { kind: "plain", node: has(data) ? data : disk };
  throw new KataError("failed-precondition", {
    operation: "mount guest extension image",
    object: `${name}: ${hasHashes ? "it has hashes, and none is known to check it by" : "it has no hashes to check it by"}`,
    hint: "verity_params of guest_extension_images belong to the image that they were made with",
  });
}

/** The node of the disk with serial number `serial`, while there is one. @param sysfs another tree, for tests. */
export function diskBySerial(serial: string, sysfs = "/sys"): string | undefined {
  const block = `${sysfs}/block`;
  if (!exists(block)) return undefined;
  const disk = readDirectory(block).find(
    ({ name }) => readTextFileIfExists(`${block}/${name}/serial`)?.trim() === serial,
  );
  return disk === undefined ? undefined : `/dev/${disk.name}`;
}

/** Mounts all of `images`. @throws KataError if one cannot be: a guest without it is not the one that was asked for. */
export async function mountExtensionImages(
  images: readonly ExtensionImage[],
  modules: KernelModules,
): Promise<void> {
  const isChecked = images.some(({ verity }) => verity !== undefined);
  for (const name of ["virtio_blk", FILESYSTEM, ...(isChecked ? ["dm_verity"] : [])])
    if (modules.has(name)) modules.load(name);
  for (const image of images) await mountOne(image);
}

async function mountOne(image: ExtensionImage): Promise<void> {
  const serial = `extension-${image.name}`;
  const disk = await awaitDevice(`guest extension image ${image.name}`, DISK_DEADLINE_MS, () =>
    diskBySerial(serial),
  );
  const source = mountSource(image, disk, exists);
  const node = source.kind === "plain" ? source.node : checkedNode(serial, source);
  const target = `${PLACE}/${image.name}`;
  mkdirAll(target, 0o755);
  const flags = MS_RDONLY | MS_NOSUID | MS_NODEV;
  const mounted = kernel().syscall("mount", node, target, FILESYSTEM, flags, null);
  check(mounted, "mount guest extension image", `${image.name}, ${node} as ${FILESYSTEM}`);
}

function checkedNode(name: string, source: Extract<MountSource, { kind: "checked" }>): string {
  const { data, hashes, verity } = source;
  const { blocks, blockBytes, hashBlockBytes, rootHash, salt } = verity;
  const sectors = (BigInt(blocks) * BigInt(blockBytes)) / BigInt(SECTOR_BYTES);
  const table = [1, data, hashes, blockBytes, hashBlockBytes, blocks, 0, "sha256", rootHash, salt || "-"];
  return openVerityTable(name, sectors, table.join(" ")).node;
}
