/** Text and UTF-8, by the engine's own primitives: a loop over bytes is slow in an emulated guest. */
import { nativeHost } from "./native.ts";

// Under Node the platform's classes do the work; the engine host has neither.
interface Encoder {
  encode(text: string): Uint8Array<ArrayBuffer>;
}
interface Decoder {
  decode(bytes: Uint8Array): string;
}
declare const TextEncoder: new () => Encoder;
declare const TextDecoder: new (label: string, options: { ignoreBOM: boolean }) => Decoder;

/** `text` as UTF-8; a lone surrogate becomes what the engine makes of it (U+FFFD under Node). */
export const utf8Encode: (text: string) => Uint8Array<ArrayBuffer> =
  nativeHost !== undefined
    ? (
        (host) => (text: string) =>
          new Uint8Array(host.utf8Encode(text))
      )(nativeHost)
    : (
        (encoder) => (text: string) =>
          encoder.encode(text)
      )(new TextEncoder());

/** The text of `bytes`; invalid sequences become U+FFFD. */
export const utf8Decode: (bytes: Uint8Array) => string =
  nativeHost !== undefined
    ? (
        (host) => (bytes: Uint8Array) =>
          host.utf8Decode(bytes)
      )(nativeHost)
    : (
        (decoder) => (bytes: Uint8Array) =>
          decoder.decode(bytes)
      )(new TextDecoder("utf-8", { ignoreBOM: true }));

/**
 * Writes `text` as UTF-8 at `offset` of `buffer`, without an object between.
 *
 * @returns its bytes; more than there is room for means that what was written is not all of it.
 */
export const utf8EncodeInto: (text: string, buffer: Uint8Array, offset: number) => number =
  nativeHost !== undefined
    ? nativeHost.utf8EncodeInto
    : (text, buffer, offset) => {
        const bytes = utf8Encode(text);
        if (bytes.length <= buffer.length - offset) buffer.set(bytes, offset);
        return bytes.length;
      };

/** The text of the `length` bytes at `offset`, like {@link utf8Decode}. */
export const utf8DecodeAt: (bytes: Uint8Array, offset: number, length: number) => string =
  nativeHost !== undefined
    ? nativeHost.utf8Decode
    : (bytes, offset, length) => utf8Decode(bytes.subarray(offset, offset + length));

/** `text` as a NUL-terminated C string, for pointers inside structures. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  const bytes = utf8Encode(text);
  const terminated = new Uint8Array(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

/** The text up to the first NUL, or all of it. */
export function fromCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return utf8Decode(end < 0 ? bytes : bytes.subarray(0, end));
}
