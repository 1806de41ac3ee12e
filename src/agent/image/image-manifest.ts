/**
 * What an image consists of. Sources: OCI image specification (index, manifest, descriptor, configuration), Docker's manifests of
 * version 2, which are the same by other names.
 */
import { KataError } from "../../kata-error.ts";
import { DIGEST } from "./image-reference.ts";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

export type Compression = "none" | "gzip" | "zstd";

export interface Layer extends Descriptor {
  readonly compression: Compression;
}

export interface ImageManifest {
  readonly config: Descriptor;
  /** The lowest first. */
  readonly layers: readonly Layer[];
}

/** What a registry sends for a name: the image, or a list of images for several machines. */
export type ManifestDocument =
  | { readonly kind: "manifest"; readonly manifest: ImageManifest }
  /** The one for this machine. */
  | { readonly kind: "index"; readonly chosen: Descriptor };

/** For a registry's `Accept`. */
export const MANIFEST_TYPES: readonly string[] = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];

/** Longest manifest or configuration, bytes. Source: distribution specification, what registries have to take. */
export const MAX_DOCUMENT_BYTES = 4 << 20;
/** The kernel's overlay takes no more, and nobody builds more. */
const MAX_LAYERS = 500;
const MAX_INDEX_ENTRIES = 1000;
/** Largest layer, bytes: more than a guest has room for. */
const MAX_LAYER_BYTES = 2 ** 40;

const LAYER_TYPES: Readonly<Record<string, Compression>> = {
  "application/vnd.oci.image.layer.v1.tar": "none",
  "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
  "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
  "application/vnd.docker.image.rootfs.diff.tar": "none",
  "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
  "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
};

type Tree = Readonly<Record<string, unknown>>;

/** @param architecture as Go calls it: `amd64`, `arm64`. @throws KataError `malformed-message`, `unsupported`. */
export function parseManifest(text: string, architecture: string): ManifestDocument {
  const document = tree(json(text), "manifest");
  if (Array.isArray(document.manifests)) {
    return { kind: "index", chosen: choose(list(document.manifests, MAX_INDEX_ENTRIES), architecture) };
  }
  if (document.schemaVersion !== 2) throw malformed("a manifest of another version than 2");
  const layers = list(document.layers, MAX_LAYERS).map(layer);
  return { kind: "manifest", manifest: { config: descriptor(document.config), layers } };
}

/** The digests of the layers without their compression, from an image's configuration. */
export function parseDiffIds(text: string): readonly string[] {
  const { rootfs } = tree(json(text), "configuration");
  return list(tree(rootfs, "rootfs").diff_ids, MAX_LAYERS).map((id) => {
    if (typeof id !== "string" || !DIGEST.test(id)) throw malformed("a layer's digest in the configuration");
    return id;
  });
}

function choose(entries: readonly unknown[], architecture: string): Descriptor {
  const found = entries.find((entry) => {
    const { platform } = tree(entry, "manifest of an index");
    if (platform === undefined) return entries.length === 1;
    const { os, architecture: of } = tree(platform, "platform");
    return os === "linux" && of === architecture;
  });
  if (found !== undefined) return descriptor(found);
  throw new KataError("not-found", {
    operation: "choose image",
    object: `linux/${architecture}`,
    hint: "the image is not made for this machine",
  });
}

function layer(value: unknown): Layer {
  const found = descriptor(value);
  const compression = Object.hasOwn(LAYER_TYPES, found.mediaType) ? LAYER_TYPES[found.mediaType] : undefined;
  if (compression !== undefined) return { ...found, compression };
  throw new KataError("unsupported", {
    operation: "read manifest",
    object: `a layer of type ${JSON.stringify(found.mediaType.slice(0, 100))}`,
    hint: "layers are tar archives, as they are or by gzip or zstd; build the image without encryption",
  });
}

function descriptor(value: unknown): Descriptor {
  const { mediaType = "", digest, size } = tree(value, "descriptor");
  if (typeof mediaType !== "string" || typeof digest !== "string" || !DIGEST.test(digest)) {
    throw malformed("a descriptor without a digest of sha256");
  }
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0 || size > MAX_LAYER_BYTES) {
    throw malformed("a descriptor without a size");
  }
  return { mediaType, digest, size };
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw malformed("no JSON");
  }
}

function tree(value: unknown, what: string): Tree {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Tree;
  throw malformed(`a ${what} that is no object`);
}

function list(value: unknown, most: number): readonly unknown[] {
  if (Array.isArray(value) && value.length <= most) return value;
  throw malformed(`no list, or one of more than ${most} items`);
}

function malformed(object: string): KataError {
  return new KataError("malformed-message", { operation: "read image", object });
}
