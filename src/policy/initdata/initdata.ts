/**
 * Initdata: the measured TOML in which a policy travels to the guest.
 *
 * Source: Confidential Containers' initdata specification 0.1.0: `version`, `algorithm`, `[data]`; the annotation is base64 of
 * gzip of the text; its digest is what a confidential machine is started with.
 */
import { parse } from "smol-toml";
import { decodeBase64 } from "../../crypto/base64.ts";
import { sha256 } from "../../crypto/sha256.ts";
import { sha512 } from "../../crypto/sha512.ts";
import { KataError } from "../../kata-error.ts";
import { gunzip } from "./gunzip.ts";

export interface Initdata {
  readonly version: string;
  readonly algorithm: string;
  /** Files for the guest by name, as `policy.rego`, `aa.toml`, `cdh.toml`. */
  readonly data: Readonly<Record<string, string>>;
}

export const POLICY_KEY = "policy.rego";

/** Of the text: four times what a policy may have. */
export const MAX_INITDATA_BYTES = 64 * 1024 * 1024;

const DIGESTS: Readonly<Record<string, (text: Uint8Array) => Uint8Array>> = {
  sha256,
  sha384: (text) => sha512(text, 384),
  sha512: (text) => sha512(text),
};

function invalid(object: string, hint: string, cause?: unknown): KataError {
  return new KataError("invalid-initdata", { operation: "read initdata", object, hint, cause });
}

/** @throws KataError `invalid-initdata` naming the field. */
export function parseInitdata(text: string, name: string): Initdata {
  let document: Record<string, unknown>;
  try {
    document = parse(text);
  } catch (error) {
    const why = error instanceof Error ? (error.message.split("\n")[0] ?? "no TOML") : "no TOML";
    throw invalid(name, why, error);
  }
  const { version, algorithm, data } = document;
  if (version !== "0.1.0") throw invalid(name, "version must be 0.1.0");
  if (typeof algorithm !== "string" || !Object.hasOwn(DIGESTS, algorithm)) {
    throw invalid(name, `algorithm must be one of ${Object.keys(DIGESTS).join(", ")}`);
  }
  const files: Record<string, string> = {};
  if (data !== undefined) {
    if (typeof data !== "object" || data === null || Array.isArray(data))
      throw invalid(name, "data must be a table");
    for (const [key, value] of Object.entries(data)) {
      if (typeof value !== "string") throw invalid(name, `data.${key} must be a string`);
      files[key] = value;
    }
  }
  return { version, algorithm, data: files };
}

/** The compressed text of an annotation. @throws KataError `invalid-initdata` if it is no base64. */
export function annotationPayload(annotation: string): Uint8Array {
  const payload = decodeBase64(annotation, false, "required");
  if (payload === undefined) throw invalid("annotation", "it is base64 of gzip");
  return payload;
}

/** The text of a compressed payload, in bytes. @throws KataError `invalid-initdata`. */
export function unpackInitdata(payload: Uint8Array, name: string): Uint8Array {
  try {
    return gunzip(payload, MAX_INITDATA_BYTES);
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    throw invalid(name, error.hint ?? error.message, error);
  }
}

/** Of the text as it is written, by its own algorithm. @param algorithm one that {@link parseInitdata} accepts. */
export function initdataDigest(algorithm: string, text: Uint8Array): Uint8Array {
  const digest = Object.hasOwn(DIGESTS, algorithm) ? DIGESTS[algorithm] : undefined;
  if (digest === undefined) throw invalid("digest", `algorithm ${algorithm} is not known`);
  return digest(text);
}

/** Bytes of the field that holds the digest, by platform. Source: the initdata specification, "Integrity". */
export const HOST_DATA_BYTES = { tdx: 48, snp: 32, cca: 64, se: 256 } as const;

/** A digest as a platform takes it: cut, or filled up with zeros. */
export function hostData(digest: Uint8Array, platform: keyof typeof HOST_DATA_BYTES): Uint8Array {
  const field = new Uint8Array(HOST_DATA_BYTES[platform]);
  field.set(digest.subarray(0, field.length));
  return field;
}
