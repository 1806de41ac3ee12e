/** Base64 with the alphabet for file names and URLs, padded. Source: RFC 4648, section 5. */
import { utf8Encode } from "./utf8.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** The encoding of `text` in UTF-8. For names: it goes byte by byte. */
export function base64Url(text: string): string {
  const bytes = utf8Encode(text);
  let encoded = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const [first = 0, second = 0, third = 0] = bytes.subarray(at, at + 3);
    const bits = (first << 16) | (second << 8) | third;
    const digits = [18, 12, 6, 0].map((shift) => ALPHABET.charAt((bits >> shift) & 63));
    encoded += digits.slice(0, Math.min(4, bytes.length - at + 1)).join("");
  }
  return encoded.padEnd(Math.ceil(bytes.length / 3) * 4, "=");
}
