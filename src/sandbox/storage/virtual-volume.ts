/**
 * A root filesystem that a snapshotter describes instead of mounting it: an option of the mount holds the description, as JSON in
 * base64. What is a disk here comes into the guest as one, with the hashes that the guest checks it by; an image that is only named
 * is pulled by the guest itself.
 * Source: upstream Kata Containers, KataVirtualVolume.
 */
import { decodeBase64 } from "../../crypto/base64.ts";
import { KataError } from "../../kata-error.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import type { RootfsMount } from "../types.ts";
import type { BlockRootfs } from "./block-rootfs.ts";

const OPTION = "io.katacontainers.volume=";
/** Kinds that are a disk with the whole root filesystem. */
const DISKS = ["direct_block", "image_raw_block"];

/** The kind whose image the guest pulls by itself. */
const GUEST_PULL = "image_guest_pull";

export type VirtualVolume =
  | { readonly kind: "disk"; readonly disk: BlockRootfs }
  /** @param image its name; empty: the container's annotations have it. */
  | { readonly kind: "guest-pull"; readonly image: string };

/** What `rootfs` describes; undefined if it describes nothing. @throws KataError `unsupported` for other kinds. */
export function virtualVolume(rootfs: readonly RootfsMount[]): VirtualVolume | undefined {
  const descriptions = rootfs.flatMap(({ options }) => options.filter((option) => option.startsWith(OPTION)));
  const [description] = descriptions;
  if (description === undefined) return undefined;
  const {
    volume_type: kind,
    source,
    fs_type: filesystem,
    options = [],
    dm_verity: verity,
  } = parse(description);
  if (kind === GUEST_PULL && descriptions.length === 1) {
    if (source !== undefined && typeof source !== "string") throw malformed(description);
    return { kind: "guest-pull", image: source ?? "" };
  }
  if (typeof kind !== "string" || !DISKS.includes(kind) || descriptions.length > 1) {
    throw new KataError("unsupported", {
      operation: "provide root filesystem",
      object: `${descriptions.length} volumes, the first of type ${JSON.stringify(kind)}`,
      hint: `this version has one, of type ${DISKS.join(", ")} or ${GUEST_PULL}`,
    });
  }
  if (
    typeof source !== "string" ||
    !source.startsWith("/") ||
    typeof filesystem !== "string" ||
    !/^[a-z0-9]{1,16}$/.test(filesystem) ||
    !Array.isArray(options) ||
    !options.every((option) => typeof option === "string")
  ) {
    throw malformed(description);
  }
  return {
    kind: "disk",
    disk: {
      path: source,
      filesystem,
      readOnly: kind === "image_raw_block" || verity != null || options.includes("ro"),
      options: options.map(String),
      ...(verity == null ? {} : { verity: JSON.stringify(verity) }),
    },
  };
}

function parse(description: string): Readonly<Record<string, unknown>> {
  const text = description.slice(OPTION.length);
  // Snapshotters write either alphabet.
  const bytes = decodeBase64(text, false, "optional") ?? decodeBase64(text, true, "optional");
  if (bytes === undefined) throw malformed(description);
  try {
    const value: unknown = JSON.parse(utf8Decode(bytes));
    if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw malformed(description);
}

function malformed(description: string): KataError {
  return new KataError("invalid-argument", {
    operation: "read volume of root filesystem",
    object: JSON.stringify(description.slice(0, 200)),
    hint: "it is JSON in base64 with volume_type, source, fs_type and options",
  });
}
