/** Blobs are what their digests say. */
import { createHash } from "node:crypto";
import { KataError } from "../../../kata-error.ts";

/** Bytes of a manifest, index or configuration that are read. */
export const MAX_DOCUMENT_BYTES = 8 * 1024 * 1024;
/** Bytes of one layer. */
export const MAX_LAYER_BYTES = 16 * 1024 ** 3;

const ALGORITHMS = ["sha256", "sha384", "sha512"];

/** @throws KataError `digest-mismatch`, or `invalid-digest` if the algorithm is unknown. */
export function checkDigest(bytes: Uint8Array, digest: string, where: string): void {
  const algorithm = digest.slice(0, digest.indexOf(":"));
  if (!ALGORITHMS.includes(algorithm)) {
    throw new KataError("invalid-digest", { operation: "check blob", object: `${where}: ${digest}` });
  }
  const actual = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
  if (actual !== digest) {
    throw new KataError("digest-mismatch", {
      operation: "check blob",
      object: `${where}: ${digest}`,
      hint: `its content is ${actual}`,
    });
  }
}
