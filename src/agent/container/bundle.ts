/**
 * The bundle of a container for its hooks, which find the root filesystem and all else in its config.json.
 * Without hooks nobody reads it, and there is none.
 */
import type { Spec } from "../../oci/types.ts";
import { mkdirAll, removeIfEmpty, unlinkIfExists, writeFile } from "../../sys/files.ts";
import { AGENT_DIRECTORY } from "../sandbox/paths.ts";

/** Where the bundle of container `id` is; the same as upstream's. */
export function bundleDirectory(id: string): string {
  return `${AGENT_DIRECTORY}/${id}`;
}

/** Writes the bundle. @returns how to remove it. */
export function writeBundle(id: string, spec: Spec): () => void {
  const directory = bundleDirectory(id);
  mkdirAll(directory, 0o700);
  writeFile(`${directory}/config.json`, specText(spec));
  return () => {
    unlinkIfExists(`${directory}/config.json`);
    // The root of an image that the guest has pulled is in it, too.
    removeIfEmpty(directory);
  };
}

const MARK = "\u0001";

/** JSON with 64-bit integers as what they are. */
export function specText(spec: Spec): string {
  const marked = JSON.stringify(spec, (_key, value: unknown) =>
    typeof value === "bigint" ? `${MARK}${value}${MARK}` : value,
  );
  return marked.replaceAll(/"\\u0001(-?\d+)\\u0001"/g, "$1");
}
