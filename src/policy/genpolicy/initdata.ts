/** Initdata as genpolicy writes and reads it, with Node's compression. The format: `../initdata/initdata.ts`. */
import { gzipSync } from "node:zlib";
import { stringify } from "smol-toml";
import { utf8Decode } from "../../sys/utf8.ts";
import { annotationPayload, type Initdata, parseInitdata, unpackInitdata } from "../initdata/initdata.ts";

export { type Initdata, POLICY_KEY, parseInitdata } from "../initdata/initdata.ts";

export const EMPTY_INITDATA: Initdata = { version: "0.1.0", algorithm: "sha256", data: {} };

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
  return parseInitdata(utf8Decode(unpackInitdata(annotationPayload(annotation), "annotation")), "annotation");
}
