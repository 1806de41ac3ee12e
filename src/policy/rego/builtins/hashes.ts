/** Hash functions for an engine without any. Sources: RFC 1321 (MD5), FIPS 180-4 (SHA-1), RFC 2104 (HMAC). */
import { sha256 } from "../../../crypto/sha256.ts";
import { sha512 } from "../../../crypto/sha512.ts";

export { sha256, sha512 };

export interface HashFunction {
  readonly digest: (message: Uint8Array) => Uint8Array;
  /** Bytes that it takes in at once. */
  readonly block: number;
}

/** The message with its length, to a multiple of `block` bytes. */
function padded(message: Uint8Array, block: number, lengthBytes: number, isLittleEndian: boolean): DataView {
  const size = Math.ceil((message.length + 1 + lengthBytes) / block) * block;
  const bytes = new Uint8Array(size);
  bytes.set(message);
  bytes[message.length] = 0x80;
  const view = new DataView(bytes.buffer);
  view.setBigUint64(
    isLittleEndian ? size - lengthBytes : size - 8,
    BigInt(message.length) * 8n,
    isLittleEndian,
  );
  return view;
}

const rotate = (value: number, bits: number) => (value << bits) | (value >>> (32 - bits));

const MD5_SHIFTS = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
const MD5_SINES = Int32Array.from({ length: 64 }, (_, i) =>
  Math.floor(Math.abs(Math.sin(i + 1)) * 0x1_0000_0000),
);

export function md5(message: Uint8Array): Uint8Array {
  const view = padded(message, 64, 8, true);
  const state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
  for (let at = 0; at < view.byteLength; at += 64) {
    let [a = 0, b = 0, c = 0, d = 0] = state;
    for (let i = 0; i < 64; i++) {
      const round = i >> 4;
      const mixed =
        round === 0
          ? (b & c) | (~b & d)
          : round === 1
            ? (d & b) | (~d & c)
            : round === 2
              ? b ^ c ^ d
              : c ^ (b | ~d);
      const word = round === 0 ? i : round === 1 ? 5 * i + 1 : round === 2 ? 3 * i + 5 : 7 * i;
      const sum = (a + mixed + (MD5_SINES[i] ?? 0) + view.getInt32(at + 4 * (word & 15), true)) | 0;
      a = d;
      d = c;
      c = b;
      b = (b + rotate(sum, MD5_SHIFTS[4 * round + (i & 3)] ?? 0)) | 0;
    }
    [a, b, c, d].forEach((value, i) => {
      state[i] = ((state[i] ?? 0) + value) | 0;
    });
  }
  return new Uint8Array(state.buffer);
}

export function sha1(message: Uint8Array): Uint8Array {
  const view = padded(message, 64, 8, false);
  const state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
  const words = new Int32Array(80);
  for (let at = 0; at < view.byteLength; at += 64) {
    for (let i = 0; i < 80; i++) {
      words[i] =
        i < 16
          ? view.getInt32(at + 4 * i)
          : rotate(
              (words[i - 3] ?? 0) ^ (words[i - 8] ?? 0) ^ (words[i - 14] ?? 0) ^ (words[i - 16] ?? 0),
              1,
            );
    }
    let [a = 0, b = 0, c = 0, d = 0, e = 0] = state;
    for (let i = 0; i < 80; i++) {
      const mixed = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
      const constant = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
      const sum = (rotate(a, 5) + mixed + e + constant + (words[i] ?? 0)) | 0;
      e = d;
      d = c;
      c = rotate(b, 30);
      b = a;
      a = sum;
    }
    [a, b, c, d, e].forEach((value, i) => {
      state[i] = ((state[i] ?? 0) + value) | 0;
    });
  }
  const result = new DataView(new ArrayBuffer(20));
  state.forEach((word, i) => {
    result.setInt32(4 * i, word);
  });
  return new Uint8Array(result.buffer);
}

export const HASHES: Readonly<Record<"md5" | "sha1" | "sha256" | "sha384" | "sha512", HashFunction>> = {
  md5: { digest: md5, block: 64 },
  sha1: { digest: sha1, block: 64 },
  sha256: { digest: sha256, block: 64 },
  sha384: { digest: (message) => sha512(message, 384), block: 128 },
  sha512: { digest: sha512, block: 128 },
};

/** HMAC of `message` under `key`. */
export function hmac({ digest, block }: HashFunction, key: Uint8Array, message: Uint8Array): Uint8Array {
  const short = key.length > block ? digest(key) : key;
  const masked = (mask: number, tail: Uint8Array) => {
    const bytes = new Uint8Array(block + tail.length).fill(mask, 0, block);
    short.forEach((byte, i) => {
      bytes[i] = byte ^ mask;
    });
    bytes.set(tail, block);
    return digest(bytes);
  };
  return masked(0x5c, masked(0x36, message));
}
