/** Looks for images in several places and takes out what a policy needs. */
import { KataError } from "../../../kata-error.ts";
import type { Settings } from "../settings.ts";
import { checkDigest } from "./blob-digest.ts";
import { type FoundImage, type Image, type ImageSource, parseImageConfig } from "./image.ts";
import { type LayerFacts, type LayersCache, readLayer } from "./layer.ts";
import { type ImageReference, normalizedName, parseReference } from "./reference.ts";

export interface Images {
  load(name: string, isPause: boolean): Promise<Image>;
}

export interface ImagesOptions {
  /** Asked one after the other. */
  readonly sources: readonly ImageSource[];
  readonly settings: Settings;
  readonly cache: LayersCache;
  readonly note: (text: string) => void;
  /** True if images of the user's own are given: then the pause image may be missing. */
  readonly isOffline: boolean;
}

/** Looks up each image once. */
export function openImages(options: ImagesOptions): Images {
  const loaded = new Map<string, Promise<Image>>();
  return {
    load(name, isPause) {
      const found = loaded.get(name) ?? loadImage(name, isPause, options);
      loaded.set(name, found);
      return found;
    },
  };
}

async function loadImage(name: string, isPause: boolean, options: ImagesOptions): Promise<Image> {
  const { settings, sources, note } = options;
  const reference = parseReference(name);
  const needsLayers = settings.layerFormat !== undefined;
  for (const source of sources) {
    // The sandbox's image inside the guest is not the registry's anyway.
    if (isPause && options.isOffline && source.isRemote && !needsLayers) break;
    const found = await source.find(reference);
    if (!found) continue;
    checkStandIn(reference, source, note);
    return imageOf(reference, found, options);
  }
  if (isPause && options.isOffline && !needsLayers) {
    note(`${name} is not among the given images: the settings say what it runs`);
    return { reference, config: EMPTY_CONFIG, layerHashes: [], passwd: "", group: "" };
  }
  throw new KataError("image-not-found", {
    operation: "find image",
    object: name,
    hint: `looked in ${sources.map((source) => source.name).join(", ") || "no place"}`,
  });
}

const EMPTY_CONFIG = {
  user: "",
  env: [],
  entrypoint: [],
  cmd: [],
  workingDir: "",
  volumes: [],
  diffIds: [],
} as const;

function checkStandIn(reference: ImageReference, source: ImageSource, note: (text: string) => void): void {
  if (reference.digest !== undefined && !source.isRemote)
    note(`${normalizedName(reference)}: taken from ${source.name}`);
}

async function imageOf(reference: ImageReference, found: FoundImage, options: ImagesOptions): Promise<Image> {
  const name = normalizedName(reference);
  checkDigest(new TextEncoder().encode(found.config), found.manifest.config.digest, name);
  const config = parseImageConfig(found.config, name);
  const { settings } = options;
  const format = settings.layerFormat;
  // Users of an image that the guest pulls are the pod's own words, see checkGuestPull.
  if (format === undefined && settings.guestPull)
    return { reference, config, layerHashes: [], passwd: "", group: "" };
  const facts: LayerFacts[] = [];
  for (const [index, descriptor] of found.manifest.layers.entries()) {
    const diffId = config.diffIds[index];
    if (diffId === undefined) throw mismatch(name);
    facts.push(
      await options.cache.get(diffId, format, async () =>
        readLayer(await found.blob(descriptor), diffId, format),
      ),
    );
  }
  if (facts.length !== config.diffIds.length) throw mismatch(name);
  return {
    reference,
    config,
    layerHashes: format === undefined ? [] : facts.map(({ hashes }) => hashes[format] ?? ""),
    passwd: lastFile(facts.map(({ passwd }) => passwd)),
    group: lastFile(facts.map(({ group }) => group)),
  };
}

/** A file as the uppermost layer has it that changes it; empty if that one removes it. */
function lastFile(changes: readonly (string | null | undefined)[]): string {
  return changes.findLast((change) => change !== undefined) ?? "";
}

function mismatch(name: string): KataError {
  return new KataError("invalid-image", {
    operation: "read image",
    object: name,
    hint: "its manifest and its configuration disagree about the number of layers",
  });
}
