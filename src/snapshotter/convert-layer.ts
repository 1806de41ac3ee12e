/** From a layer that containerd has fetched to the disk that the guest gets. */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { ContentInfo } from "../../build/generated/content.ts";
import { KataError } from "../kata-error.ts";
import { chainIdOf } from "../policy/layers/chain-id.ts";
import { type LayerFormat, layerDiskPieces } from "../policy/layers/layer-disk.ts";
import type { BlobStore } from "./content-store.ts";
import { fileSource, readArchive, writeAt } from "./layer-archive.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

/** What containerd knows of a layer that it has unpacked before. Source: containerd, labels.LabelUncompressed. */
const UNCOMPRESSED_LABEL = "containerd.io/uncompressed";

export interface LayerRequest {
  readonly namespace: string;
  /** The chain id that the layer makes with those below it. */
  readonly chainId: string;
  /** The chain id of those below it. */
  readonly parent: string | undefined;
  /** The digest of the compressed layer, if whoever unpacks it has told. */
  readonly digest: string | undefined;
}

export interface ConvertedLayer {
  readonly chainId: string;
  readonly rootHash: string;
  /** Digest and bytes of the archive. */
  readonly diffId: string;
  readonly length: number;
}

const hash = (first: Uint8Array, second: Uint8Array) =>
  createHash("sha256").update(first).update(second).digest();

export class LayerConverter {
  readonly #blobs: BlobStore;
  readonly #store: SnapshotStore;
  readonly #format: LayerFormat;
  /** Digests of archives by the digests of their blobs; undefined for blobs that are no archives. */
  readonly #diffIds = new Map<string, string | undefined>();

  constructor(blobs: BlobStore, store: SnapshotStore, format: LayerFormat) {
    this.#blobs = blobs;
    this.#store = store;
    this.#format = format;
  }

  /**
   * Writes the layer's disk.
   *
   * @returns the root hash of its tree.
   * @throws KataError `not-found` if containerd does not have the layer, `data-loss` if its content is another, `invalid-layer`,
   *   `invalid-tar`.
   */
  async convert(request: LayerRequest): Promise<string> {
    const { namespace, chainId, parent } = request;
    const digest = request.digest ?? (await this.#find(request));
    const layer = await this.convertBlob(namespace, digest, (diffId) => {
      const found = chainIdOf(parent, diffId);
      return found === chainId ? found : undefined;
    });
    if (layer !== undefined) return layer.rootHash;
    throw new KataError("data-loss", {
      operation: "read layer of containerd",
      object: digest,
      hint: `it is not the layer that makes ${chainId}`,
    });
  }

  /**
   * Writes the disk of the layer whose blob is `digest`.
   *
   * @param chainIdFor what the layer is called, by the digest of its archive; undefined to leave it.
   * @returns undefined if the blob is no archive, or was left.
   */
  async convertBlob(
    namespace: string,
    digest: string,
    chainIdFor: (diffId: string) => string | undefined,
  ): Promise<ConvertedLayer | undefined> {
    using file = this.#store.scratchFile();
    const archive = await readArchive(this.#blobs.read(namespace, digest), digest, (piece, at) =>
      writeAt(file.descriptor, piece, at),
    );
    const chainId = archive === undefined ? undefined : chainIdFor(archive.diffId);
    if (archive === undefined || chainId === undefined) return undefined;
    const { diffId, length } = archive;
    const pieces = layerDiskPieces(fileSource(file.descriptor, length), this.#format, diffId, hash);
    const rootHash = await this.#store.writeLayer(chainId, async (write) => {
      for (;;) {
        const next = pieces.next();
        if (next.done === true) return next.value.rootHash;
        write(next.value);
        // Others are answered between one piece and the next.
        await setImmediate();
      }
    });
    return { chainId, rootHash, diffId, length };
  }

  /** Not every client of containerd's tells which layer it unpacks: then what is there is looked through, the newest first. */
  async #find({ namespace, chainId, parent }: LayerRequest): Promise<string> {
    const infos = await this.#blobs.list(namespace);
    const known = infos.find((info) => {
      const diffId = info.labels.get(UNCOMPRESSED_LABEL) ?? this.#diffIds.get(info.digest);
      return diffId !== undefined && chainIdOf(parent, diffId) === chainId;
    });
    if (known !== undefined) return known.digest;
    let unreadable: KataError | undefined;
    for (const info of infos) {
      try {
        const diffId = await this.#diffIdOf(namespace, info);
        if (diffId !== undefined && chainIdOf(parent, diffId) === chainId) return info.digest;
      } catch (error) {
        if (!(error instanceof KataError) || error.code !== "invalid-layer") throw error;
        unreadable ??= error;
      }
    }
    // It may be the one that was looked for.
    if (unreadable !== undefined) throw unreadable;
    throw new KataError("not-found", {
      operation: "find layer in containerd",
      object: chainId,
      hint: "set disable_snapshot_annotations = false and discard_unpacked_layers = false in containerd's configuration, and pull the image again",
    });
  }

  async #diffIdOf(namespace: string, { digest, labels }: ContentInfo): Promise<string | undefined> {
    if (labels.has(UNCOMPRESSED_LABEL) || this.#diffIds.has(digest)) return undefined;
    const diffId = (await readArchive(this.#blobs.read(namespace, digest), digest))?.diffId;
    this.#diffIds.set(digest, diffId);
    return diffId;
  }
}
