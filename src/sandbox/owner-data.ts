/**
 * What a pod's owner gives the guest past the host: a policy for the agent, and initdata on a disk of its own.
 *
 * The host checks their form, so that a mistake is told where it was made; that they are in force is the guest's business.
 */
import { decodeBase64 } from "../crypto/base64.ts";
import { KataError } from "../kata-error.ts";
import { annotationPayload, parseInitdata, unpackInitdata } from "../policy/initdata/initdata.ts";
import { initdataDisk } from "../policy/initdata/initdata-disk.ts";
import { writeFile } from "../sys/files.ts";
import { utf8Decode } from "../sys/utf8.ts";
import type { DiskDevice } from "./hypervisor/types.ts";

/** The policy's text. @throws KataError `invalid-argument` if it is no base64. */
export function decodePolicy(encoded: string): string {
  const bytes = decodeBase64(encoded, false, "required");
  if (bytes !== undefined) return utf8Decode(bytes);
  throw new KataError("invalid-argument", {
    operation: "read policy of pod",
    object: "it is no base64",
    hint: "genpolicy --base64-out prints what belongs there",
  });
}

/**
 * Writes the disk that initdata goes to the guest on.
 *
 * @param annotation base64 of gzip of TOML.
 * @param path of the file, which must not be there.
 * @throws KataError `invalid-initdata` if it is not of that form.
 */
export function makeInitdataDisk(annotation: string, path: string): DiskDevice {
  const payload = annotationPayload(annotation);
  parseInitdata(utf8Decode(unpackInitdata(payload, "annotation")), "annotation");
  writeFile(path, initdataDisk(payload), 0o400);
  return { kind: "disk", id: "initdata0", path, readOnly: true };
}
