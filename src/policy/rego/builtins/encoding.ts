/** Base64, hexadecimal and URL query encodings. Source: OPA policy reference, "Encoding"; RFC 4648; Go net/url. */
import { decodeBase64, encodeBase64 } from "../../../crypto/base64.ts";
import { builtin, fault, objectOf, stringsOf } from "../builtin-registry.ts";
import { isArray, RegoObject, RegoSet, type Value } from "../values.ts";
import { decodeUtf8Lossy, encodeUtf8 } from "./utf8.ts";

export function encodeHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += (byte < 16 ? "0" : "") + byte.toString(16);
  return text;
}

function decodeHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || /[^0-9a-fA-F]/.test(text))
    throw fault("hex.decode", "invalid hexadecimal text");
  return Uint8Array.from({ length: text.length / 2 }, (_, i) =>
    Number.parseInt(text.slice(2 * i, 2 * i + 2), 16),
  );
}

function decoded(name: string, bytes: Uint8Array | undefined): string {
  if (!bytes) throw fault(name, "illegal base64 data");
  return decodeUtf8Lossy(bytes);
}

function encodeQuery(text: string): string {
  let result = "";
  for (const byte of encodeUtf8(text)) {
    const character = String.fromCharCode(byte);
    if (/[A-Za-z0-9_.~-]/.test(character)) result += character;
    else result += byte === 0x20 ? "+" : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return result;
}

function decodeQuery(text: string): string {
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const unit = text[i] ?? "";
    if (unit === "%") {
      const hex = text.slice(i + 1, i + 3);
      if (!/^[0-9a-fA-F]{2}$/.test(hex)) throw fault("urlquery.decode", `invalid URL escape "%${hex}"`);
      bytes.push(Number.parseInt(hex, 16));
      i += 2;
    } else if (unit === "+") {
      bytes.push(0x20);
    } else {
      const point = String.fromCodePoint(text.codePointAt(i) ?? 0);
      bytes.push(...encodeUtf8(point));
      i += point.length - 1;
    }
  }
  return decodeUtf8Lossy(Uint8Array.from(bytes));
}

function encodeQueryObject(object: RegoObject): string {
  const pairs: string[] = [];
  for (const [key, value] of object.entries()) {
    if (typeof key !== "string") throw fault("urlquery.encode_object", "keys must be strings");
    const values =
      isArray(value) || value instanceof RegoSet ? stringsOf("urlquery.encode_object", 0, value) : [value];
    for (const one of values) {
      if (typeof one !== "string") throw fault("urlquery.encode_object", "values must be strings");
      pairs.push(`${encodeQuery(key)}=${encodeQuery(one)}`);
    }
  }
  return pairs.join("&");
}

function decodeQueryObject(text: string): RegoObject {
  const lists = new Map<string, Value[]>();
  for (const pair of text.split("&")) {
    if (pair === "") continue;
    if (pair.includes(";")) throw fault("urlquery.decode_object", "invalid semicolon separator in query");
    const at = pair.indexOf("=");
    const key = decodeQuery(at < 0 ? pair : pair.slice(0, at));
    const values = lists.get(key) ?? [];
    values.push(at < 0 ? "" : decodeQuery(pair.slice(at + 1)));
    lists.set(key, values);
  }
  return RegoObject.of(lists);
}

/** A builtin of one string. */
function ofText(name: string, compute: (text: string) => Value | undefined) {
  return builtin(name, "s", ([value]) => compute(typeof value === "string" ? value : ""));
}

export const ENCODING = [
  ofText("base64.encode", (text) => encodeBase64(encodeUtf8(text), false, true)),
  ofText("base64.decode", (text) => decoded("base64.decode", decodeBase64(text, false, "required"))),
  ofText("base64.is_valid", (text) => decodeBase64(text, false, "required") !== undefined),
  ofText("base64url.encode", (text) => encodeBase64(encodeUtf8(text), true, true)),
  ofText("base64url.encode_no_pad", (text) => encodeBase64(encodeUtf8(text), true, false)),
  ofText("base64url.decode", (text) => decoded("base64url.decode", decodeBase64(text, true, "optional"))),
  ofText("hex.encode", (text) => encodeHex(encodeUtf8(text))),
  ofText("hex.decode", (text) => decodeUtf8Lossy(decodeHex(text))),
  ofText("urlquery.encode", encodeQuery),
  ofText("urlquery.decode", decodeQuery),
  builtin("urlquery.encode_object", "o", ([object]) =>
    encodeQueryObject(objectOf("urlquery.encode_object", object)),
  ),
  ofText("urlquery.decode_object", decodeQueryObject),
];
