/**
 * What a pod's owner gives the guest past the host: a policy for the agent; `initdata-disk.ts` has the other way.
 *
 * The host checks their form, so that a mistake is told where it was made; that they are in force is the guest's business.
 */
import { decodeBase64 } from "../crypto/base64.ts";
import { KataError } from "../kata-error.ts";
import { utf8Decode } from "../sys/utf8.ts";

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
