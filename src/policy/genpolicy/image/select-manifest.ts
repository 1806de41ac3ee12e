/** From an index of several platforms to the manifest of one. */
import type { Node } from "../json.ts";
import { type Descriptor, parseDescriptor } from "./image.ts";

/** Levels of indexes within indexes that are followed. */
export const MAX_INDEX_DEPTH = 4;

const INDEX_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];

/** Media types that a manifest may have, for requests to registries. */
export const MANIFEST_TYPES = [
  ...INDEX_TYPES,
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];

/** Policies are made for guests of this architecture. Source: GOARCH names, image-spec image-index.md. */
export const GUEST_ARCHITECTURE = process.arch === "arm64" ? "arm64" : "amd64";

export function isIndex(document: Node): boolean {
  return INDEX_TYPES.includes(document.at("mediaType").text() ?? "") || document.at("manifests").isPresent;
}

/** The entry of an index for the guest: its platform, or one without a platform. */
export function entryForGuest(index: Node): Descriptor | undefined {
  const entries = index.at("manifests").items();
  const platform = (node: Node) =>
    `${node.at("platform", "os").text() ?? ""}/${node.at("platform", "architecture").text() ?? ""}`;
  const found =
    entries.find((entry) => platform(entry) === `linux/${GUEST_ARCHITECTURE}`) ??
    entries.find((entry) => !entry.at("platform").isPresent);
  return found && parseDescriptor(found);
}
