/** What a policy needs to know of a layer, and a cache of it. */
import { createHash } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { KataError } from "../../../kata-error.ts";
import { sourceOf } from "../../layers/byte-source.ts";
import { type LayerFormat, writeLayerDisk } from "../../layers/layer-disk.ts";
import { type TarEntry, tarEntries } from "../../layers/tar-entries.ts";
import { isZstd, zstdDecompress } from "../../layers/zstd.ts";
import { type Json, Node } from "../json.ts";
import { checkDigest, MAX_LAYER_BYTES } from "./blob-digest.ts";

export interface LayerFacts {
  /** The dm-verity root hashes of the layer as a disk, hex: those that were asked for. */
  readonly hashes: Readonly<Partial<Record<LayerFormat, string>>>;
  /** The layer's `/etc/passwd`; null if the layer removes it, undefined if it leaves it. */
  readonly passwd: string | null | undefined;
  readonly group: string | null | undefined;
}

/** Bytes of a user database that are read. */
const MAX_DATABASE_BYTES = 16 * 1024 * 1024;

/**
 * Reads a compressed or plain layer.
 *
 * @throws KataError `digest-mismatch` if its content is not that of `diffId`, `invalid-tar`, `invalid-layer`.
 */
export function readLayer(blob: Uint8Array, diffId: string, format: LayerFormat | undefined): LayerFacts {
  const tar = decompress(blob, diffId);
  checkDigest(tar, diffId, "layer");
  let passwd: string | null | undefined;
  let group: string | null | undefined;
  for (const entry of tarEntries(tar)) {
    const change = fileChange(tar, entry, "passwd");
    if (change !== undefined) passwd = change;
    const groupChange = fileChange(tar, entry, "group");
    if (groupChange !== undefined) group = groupChange;
  }
  const hashes = format === undefined ? {} : { [format]: verityHash(tar, format, diffId) };
  return { hashes, passwd, group };
}

/** The root hash under which the guest mounts the layer. */
export function verityHash(tar: Uint8Array, format: LayerFormat, diffId: string): string {
  const hash = (first: Uint8Array, second: Uint8Array) =>
    createHash("sha256").update(first).update(second).digest();
  return writeLayerDisk(sourceOf(tar), format, diffId, hash).rootHash;
}

function fileChange(tar: Uint8Array, entry: TarEntry, name: string): string | null | undefined {
  const path = entry.name.replace(/^(\.?\/)+/, "");
  if (path === `etc/.wh.${name}` || path === "etc/.wh..wh..opq") return null;
  if (path !== `etc/${name}` || entry.type !== "file") return undefined;
  if (entry.size > MAX_DATABASE_BYTES) {
    throw new KataError("invalid-layer", {
      operation: "read layer",
      object: entry.name,
      hint: "it is too large",
    });
  }
  return new TextDecoder().decode(tar.subarray(entry.offset, entry.offset + entry.size));
}

function decompress(blob: Uint8Array, name: string): Uint8Array {
  const most = Math.min(MAX_LAYER_BYTES, 4 * 1024 ** 3 - 1);
  try {
    if (blob[0] === 0x1f && blob[1] === 0x8b) return gunzipSync(blob, { maxOutputLength: most });
    if (isZstd(blob)) return zstdDecompress(blob, most);
    return blob;
  } catch (error) {
    throw invalid(name, error instanceof Error ? error.message : "it cannot be decompressed");
  }
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-layer", { operation: "decompress layer", object, hint });
}

/** Facts of layers by diff id, kept in a file between runs if there is one. */
export class LayersCache {
  private readonly path: string | undefined;
  private readonly known = new Map<string, LayerFacts>();
  private isChanged = false;

  private constructor(path: string | undefined) {
    this.path = path;
  }

  /** A cache that lasts as long as this process, or the one in file `path`, which need not exist yet. */
  static async open(path: string | undefined): Promise<LayersCache> {
    const cache = new LayersCache(path);
    if (path === undefined) return cache;
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return cache;
      throw error;
    }
    for (const layer of new Node(JSON.parse(text), path).items()) {
      cache.known.set(layer.at("diff_id").requiredText(), {
        hashes: hashesOf(layer),
        passwd: databaseField(layer.at("passwd")),
        group: databaseField(layer.at("group")),
      });
    }
    return cache;
  }

  async get(
    diffId: string,
    format: LayerFormat | undefined,
    read: () => Promise<LayerFacts>,
  ): Promise<LayerFacts> {
    const found = this.known.get(diffId);
    if (found !== undefined && (format === undefined || found.hashes[format] !== undefined)) return found;
    const fresh = await read();
    const facts = { ...fresh, hashes: { ...found?.hashes, ...fresh.hashes } };
    this.known.set(diffId, facts);
    this.isChanged = true;
    return facts;
  }

  /** Writes the file anew if there is one and something was added. */
  async save(): Promise<void> {
    if (this.path === undefined || !this.isChanged) return;
    const layers: Json = [...this.known].map(([diff_id, { hashes, passwd, group }]) => ({
      diff_id,
      verity_hash: hashes.tar ?? "",
      ...(hashes.erofs === undefined ? {} : { erofs_verity_hash: hashes.erofs }),
      passwd: passwd === null ? WHITEOUT : (passwd ?? ""),
      group: group === null ? WHITEOUT : (group ?? ""),
    }));
    const unfinished = `${this.path}.${process.pid}`;
    await writeFile(unfinished, `${JSON.stringify(layers, null, 2)}\n`);
    await rename(unfinished, this.path);
  }
}

/** `verity_hash` is upstream's, of the archive with its index. */
function hashesOf(layer: Node): LayerFacts["hashes"] {
  const tar = layer.at("verity_hash").text();
  const erofs = layer.at("erofs_verity_hash").text();
  return { ...(tar ? { tar } : {}), ...(erofs ? { erofs } : {}) };
}

/** What upstream's cache files have for a file that a layer removes. */
const WHITEOUT = "WHITEOUT";

function databaseField(node: Node): string | null | undefined {
  const text = node.text() ?? "";
  return text === WHITEOUT ? null : text === "" ? undefined : text;
}
