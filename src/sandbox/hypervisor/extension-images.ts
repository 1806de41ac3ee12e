/**
 * Images that extend the guest's root: read-only disks, each known to the guest by its serial number and mounted before the agent answers.
 * Source: upstream Kata Containers, docs/design/composable-vm-images.md.
 */
import { KataError } from "../../kata-error.ts";
import { parseVerityParameters } from "./verity-parameters.ts";

export interface ExtensionImage {
  readonly name: string;
  readonly path: string;
  /** What the guest checks it by, as on its kernel's command line; empty for an image without hashes. */
  readonly verityParameters: string;
}

const KEYS = ["name", "path", "verity_params"];
const MAX_IMAGES = 8;
const SERIAL_PREFIX = "extension-";
/** A virtio disk's serial number has 20 bytes. Source: virtio specification 1.2, section 5.2.6, VIRTIO_BLK_T_GET_ID. */
const NAME = /^[a-z0-9][a-z0-9_-]{0,9}$/;

/** @throws KataError `invalid-configuration` that names the entry. */
export function parseExtensionImages(
  entries: readonly Readonly<Record<string, unknown>>[],
): ExtensionImage[] {
  const names = new Set<string>();
  if (entries.length > MAX_IMAGES)
    throw refused(`${entries.length} images`, `a guest has at most ${MAX_IMAGES}`);
  return entries.map((entry, index) => {
    const { name, path, verity_params: verity = "" } = entry;
    const unknown = Object.keys(entry).find((key) => !KEYS.includes(key));
    if (unknown !== undefined) throw refused(`${index}.${unknown}`, `an image has ${KEYS.join(", ")}`);
    if (typeof name !== "string" || !NAME.test(name) || names.has(name)) {
      throw refused(`${index}.name`, "it has up to 10 of a-z, 0-9, _ and -, and no other image has it");
    }
    if (typeof path !== "string" || !path.startsWith("/") || path.split("/").includes("..")) {
      throw refused(`${index}.path`, "it is an absolute path without ..");
    }
    if (typeof verity !== "string") throw refused(`${index}.verity_params`, "it is text");
    names.add(name);
    return { name, path, verityParameters: verity === "" ? "" : checkedParameters(verity) };
  });
}

/** Without blanks, which would begin another parameter. */
function checkedParameters(text: string): string {
  const { rootHash, salt, dataBlocks, dataBlockSize, hashBlockSize } = parseVerityParameters(text);
  return `root_hash=${rootHash},salt=${salt},data_blocks=${dataBlocks},data_block_size=${dataBlockSize},hash_block_size=${hashBlockSize}`;
}

function refused(entry: string, hint: string): KataError {
  return new KataError("invalid-configuration", {
    operation: "read configuration",
    object: `guest_extension_images.${entry}`,
    hint,
  });
}

/** The kernel's parameters, which tell the guest of each: the hashes are measured with them. */
export function extensionParameters(images: readonly ExtensionImage[]): string[] {
  return images.map(({ name, verityParameters }) => {
    const parameter = `kata.extension.${name}.verity_params`;
    return verityParameters === "" ? parameter : `${parameter}=${verityParameters}`;
  });
}

/** By which the guest finds the disk; the monitor's name for it, too. */
export function extensionSerial({ name }: ExtensionImage): string {
  return `${SERIAL_PREFIX}${name}`;
}
