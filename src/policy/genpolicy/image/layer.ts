/** What a policy needs to know of a layer, and a cache of it. */
import { createHash } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import * as zlib from "node:zlib";
import { KataError } from "../../../kata-error.ts";
import { type TarEntry, tarEntries } from "../../layers/tar-entries.ts";
import { tarfsIndex } from "../../layers/tarfs-index.ts";
import { verityTree } from "../../layers/verity-tree.ts";
import { type Json, Node } from "../json.ts";
import { checkDigest, MAX_LAYER_BYTES } from "./blob-digest.ts";

export interface LayerFacts {
  /** The dm-verity root hash of the layer with its index, hex; undefined if it was not asked for. */
  readonly verityHash: string | undefined;
  /** The layer's `/etc/passwd`; null if the layer removes it, undefined if it leaves it. */
  readonly passwd: string | null | undefined;
  readonly group: string | null | undefined;
}

/** Node 22.15 and newer have it. */
const { zstdDecompressSync } = zlib as { readonly zstdDecompressSync?: typeof zlib.gunzipSync };

/** Bytes of a user database that are read. */
const MAX_DATABASE_BYTES = 16 * 1024 * 1024;

/**
 * Reads a compressed or plain layer.
 *
 * @throws KataError `digest-mismatch` if its content is not that of `diffId`, `invalid-tar`, `invalid-layer`.
 */
export function readLayer(blob: Uint8Array, diffId: string, wantsHash: boolean): LayerFacts {
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
  return { verityHash: wantsHash ? verityHash(tar) : undefined, passwd, group };
}

/** The root hash under which the guest mounts the layer. */
export function verityHash(tar: Uint8Array): string {
  return verityTree([tar, tarfsIndex(tar)], (first, second) =>
    createHash("sha256").update(first).update(second).digest(),
  ).rootHash;
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
  const limit = { maxOutputLength: Math.min(MAX_LAYER_BYTES, 4 * 1024 ** 3 - 1) };
  try {
    if (blob[0] === 0x1f && blob[1] === 0x8b) return zlib.gunzipSync(blob, limit);
    if (blob[0] === 0x28 && blob[1] === 0xb5 && blob[2] === 0x2f && blob[3] === 0xfd) {
      if (zstdDecompressSync === undefined) {
        throw invalid(name, "this Node has no zstd: 22.15 and newer have it");
      }
      return zstdDecompressSync(blob, limit);
    }
    return blob;
  } catch (error) {
    if (error instanceof KataError) throw error;
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
        verityHash: layer.at("verity_hash").text() || undefined,
        passwd: databaseField(layer.at("passwd")),
        group: databaseField(layer.at("group")),
      });
    }
    return cache;
  }

  async get(diffId: string, wantsHash: boolean, read: () => Promise<LayerFacts>): Promise<LayerFacts> {
    const found = this.known.get(diffId);
    if (found !== undefined && (!wantsHash || found.verityHash !== undefined)) return found;
    const facts = await read();
    this.known.set(diffId, facts);
    this.isChanged = true;
    return facts;
  }

  /** Writes the file anew if there is one and something was added. */
  async save(): Promise<void> {
    if (this.path === undefined || !this.isChanged) return;
    const layers: Json = [...this.known].map(([diff_id, { verityHash, passwd, group }]) => ({
      diff_id,
      verity_hash: verityHash ?? "",
      passwd: passwd === null ? WHITEOUT : (passwd ?? ""),
      group: group === null ? WHITEOUT : (group ?? ""),
    }));
    const unfinished = `${this.path}.${process.pid}`;
    await writeFile(unfinished, `${JSON.stringify(layers, null, 2)}\n`);
    await rename(unfinished, this.path);
  }
}

/** What upstream's cache files have for a file that a layer removes. */
const WHITEOUT = "WHITEOUT";

function databaseField(node: Node): string | null | undefined {
  const text = node.text() ?? "";
  return text === WHITEOUT ? null : text === "" ? undefined : text;
}
