/** A container's specification, from its bundle. */
import { hasErrno, KataError } from "../kata-error.ts";
import { MAX_SPEC_LENGTH, parseSpec, parseSpecJson } from "../oci/parse-spec.ts";
import type { Spec } from "../oci/types.ts";
import { readTextFile } from "../sys/files.ts";

/** Text of UTF-16 units has at most three times as many bytes. */
const MAX_SPEC_BYTES = 3 * MAX_SPEC_LENGTH;

/**
 * Reads `config.json` of a bundle.
 *
 * @throws KataError `not-found` if there is none, `invalid-argument` with the field's place for one that is malformed.
 */
export function readSpec(bundle: string): Spec {
  const path = `${bundle}/config.json`;
  let text: string;
  try {
    text = readTextFile(path, MAX_SPEC_BYTES);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR")) throw error;
    throw new KataError("not-found", {
      operation: "read specification",
      object: path,
      errno: error.errno,
      hint: "a bundle is a directory with the container's config.json",
      cause: error,
    });
  }
  return parseSpec(parseSpecJson(text, path));
}
