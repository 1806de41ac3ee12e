/**
 * Layers that are compressed with zstd, in any Node: by its own library where it has one (22.15 and newer), else by `fzstd`, some ten times
 * slower.
 */
import { Transform, type TransformCallback } from "node:stream";
import * as zlib from "node:zlib";
import { Decompress } from "fzstd";

const { createZstdDecompress, zstdDecompressSync } = zlib as {
  readonly createZstdDecompress?: () => Transform;
  readonly zstdDecompressSync?: typeof zlib.gunzipSync;
};

/** Bytes that are handed to `fzstd` at once: so many of them come out together that memory stays small. */
const PIECE_BYTES = 64 << 10;

/** Whether `bytes` begin as zstd's do. Source: RFC 8878, 3.1.1. */
export function isZstd(bytes: Uint8Array): boolean {
  return bytes[0] === 0x28 && bytes[1] === 0xb5 && bytes[2] === 0x2f && bytes[3] === 0xfd;
}

/** @throws Error that says what is wrong with `bytes`, or that more than `mostBytes` come out. */
export function zstdDecompress(bytes: Uint8Array, mostBytes: number, own = zstdDecompressSync): Uint8Array {
  if (own !== undefined) return own(bytes, { maxOutputLength: mostBytes });
  const pieces: Uint8Array[] = [];
  let length = 0;
  const stream = new Decompress((piece) => {
    length += piece.length;
    if (length > mostBytes) throw new RangeError(`more than ${mostBytes} bytes come out`);
    pieces.push(piece.slice());
  });
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    stream.push(bytes.slice(at, at + PIECE_BYTES), at + PIECE_BYTES >= bytes.length);
  }
  return Buffer.concat(pieces);
}

/** A stream that decompresses. */
export function zstdStream(own = createZstdDecompress): Transform {
  return own === undefined ? new PlainZstd() : own();
}

class PlainZstd extends Transform {
  readonly #stream = new Decompress((piece) => this.push(piece.slice()));

  override _transform(piece: Buffer, _encoding: string, done: TransformCallback): void {
    this.#take(done, () => {
      for (let at = 0; at < piece.length; at += PIECE_BYTES) {
        this.#stream.push(Uint8Array.from(piece.subarray(at, at + PIECE_BYTES)));
      }
    });
  }

  override _flush(done: TransformCallback): void {
    this.#take(done, () => this.#stream.push(new Uint8Array(0), true));
  }

  #take(done: TransformCallback, use: () => void): void {
    try {
      use();
      done();
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
