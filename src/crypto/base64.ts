/** Base64 of bytes. Source: RFC 4648. */

const STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE = `${STANDARD.slice(0, 62)}-_`;

/** The value of each digit, at its code. */
function valuesOf(alphabet: string): readonly (number | undefined)[] {
  const values: (number | undefined)[] = [];
  for (let i = 0; i < alphabet.length; i++) values[alphabet.charCodeAt(i)] = i;
  return values;
}

const STANDARD_VALUES = valuesOf(STANDARD);
const URL_SAFE_VALUES = valuesOf(URL_SAFE);

export function encodeBase64(bytes: Uint8Array, isUrlSafe: boolean, isPadded: boolean): string {
  const alphabet = isUrlSafe ? URL_SAFE : STANDARD;
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const group = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    for (let j = 0; j < 4; j++) {
      if (i + j <= bytes.length) text += alphabet[(group >> (18 - 6 * j)) & 63];
      else if (isPadded) text += "=";
    }
  }
  return text;
}

/** The bytes, or undefined if `text` is no base64 of that alphabet; line breaks are passed over. */
export function decodeBase64(
  text: string,
  isUrlSafe: boolean,
  padding: "required" | "optional",
): Uint8Array | undefined {
  const values = isUrlSafe ? URL_SAFE_VALUES : STANDARD_VALUES;
  const clean = text.replace(/[\r\n]/g, "");
  const digits = clean.replace(/={1,2}$/, "");
  const isPadded = digits.length !== clean.length;
  if ((padding === "required" || isPadded) && clean.length % 4 !== 0) return undefined;
  if (digits.length % 4 === 1) return undefined;
  const bytes = new Uint8Array(Math.floor((digits.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < digits.length; i++) {
    const value = values[digits.charCodeAt(i)];
    if (value === undefined) return undefined;
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (held >> bits) & 0xff;
    }
  }
  return bytes;
}
