/**
 * Initdata: the measured TOML in which a policy travels to the guest.
 *
 * Source: Confidential Containers' initdata specification 0.1.0: `version`, `algorithm`, `[data]`; the annotation is
 * base64 of gzip of the text.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { parse, stringify } from "smol-toml";
import { KataError } from "../../kata-error.ts";

export interface Initdata {
  readonly version: string;
  readonly algorithm: string;
  /** Files for the guest by name, as `policy.rego`, `aa.toml`, `cdh.toml`. */
  readonly data: Readonly<Record<string, string>>;
}

export const EMPTY_INITDATA: Initdata = { version: "0.1.0", algorithm: "sha256", data: {} };

export const POLICY_KEY = "policy.rego";

const ALGORITHMS = ["sha256", "sha384", "sha512"];

/** @throws KataError `invalid-initdata` naming the field. */
export function parseInitdata(text: string, name: string): Initdata {
  const invalid = (hint: string, cause?: unknown) =>
    new KataError("invalid-initdata", { operation: "read initdata", object: name, hint, cause });
  let document: Record<string, unknown>;
  try {
    document = parse(text);
  } catch (error) {
    throw invalid(error instanceof Error ? (error.message.split("\n")[0] ?? "no TOML") : "no TOML", error);
  }
  const { version, algorithm, data } = document;
  if (version !== "0.1.0") throw invalid("version must be 0.1.0");
  if (typeof algorithm !== "string" || !ALGORITHMS.includes(algorithm)) {
    throw invalid(`algorithm must be one of ${ALGORITHMS.join(", ")}`);
  }
  const files: Record<string, string> = {};
  if (data !== undefined) {
    if (typeof data !== "object" || data === null || Array.isArray(data))
      throw invalid("data must be a table");
    for (const [key, value] of Object.entries(data)) {
      if (typeof value !== "string") throw invalid(`data.${key} must be a string`);
      files[key] = value;
    }
  }
  return { version, algorithm, data: files };
}

export function initdataText(initdata: Initdata): string {
  const { version, algorithm, data } = initdata;
  return stringify({ version, algorithm, data });
}

/** The annotation's value. Equal initdata gives equal text. */
export function encodeInitdata(initdata: Initdata): string {
  return gzipSync(initdataText(initdata), { level: 9 }).toString("base64");
}

/** @throws KataError `invalid-initdata`. */
export function decodeInitdata(annotation: string): Initdata {
  let text: string;
  try {
    text = gunzipSync(Buffer.from(annotation, "base64"), { maxOutputLength: 64 * 1024 * 1024 }).toString(
      "utf8",
    );
  } catch (error) {
    const hint = "it is base64 of gzip";
    throw new KataError("invalid-initdata", {
      operation: "read initdata",
      object: "annotation",
      hint,
      cause: error,
    });
  }
  return parseInitdata(text, "annotation");
}
