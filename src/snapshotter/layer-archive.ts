/** A layer's archive, decompressed into a file: layers are larger than memory. */
import { createHash } from "node:crypto";
import { readSync, writeSync } from "node:fs";
import { Readable, Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { describeError, KataError } from "../kata-error.ts";
import type { ByteSource } from "../policy/layers/byte-source.ts";
import { isZstd, zstdStream } from "../policy/layers/zstd.ts";

export type Compression = "gzip" | "zstd" | "none";

/** Most bytes of an archive: a layer's numbers have to be exact. */
const MAX_ARCHIVE_BYTES = 2 ** 40;
/** Bytes that are read ahead: headers stand close together. */
const WINDOW_BYTES = 64 << 10;

/** What the beginning of a blob says; undefined for what is no archive, such as a manifest. */
export function compressionOf(head: Uint8Array): Compression | undefined {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  if (isZstd(head)) return "zstd";
  return Buffer.from(head.subarray(257, 262)).toString("latin1") === "ustar" ? "none" : undefined;
}

/**
 * Decompresses `blob`.
 *
 * @param write gets the archive, piece by piece; absent if only its digest is wanted.
 * @returns the archive's digest, `sha256:…`, and its bytes; undefined if the blob is no archive.
 * @throws KataError `invalid-layer` for what cannot be decompressed.
 */
export async function readArchive(
  blob: AsyncGenerator<Uint8Array>,
  name: string,
  write: (piece: Uint8Array, at: number) => void = () => undefined,
): Promise<{ readonly diffId: string; readonly length: number } | undefined> {
  const first = await blob.next();
  if (first.done === true) return undefined;
  const compression = compressionOf(first.value);
  if (compression === undefined) {
    await blob.return(undefined);
    return undefined;
  }
  const digest = createHash("sha256");
  let length = 0;
  const sink = new Writable({
    write(piece: Buffer, _encoding, done) {
      if (length + piece.length > MAX_ARCHIVE_BYTES) {
        done(invalid(name, "it is too large"));
        return;
      }
      try {
        digest.update(piece);
        write(piece, length);
        length += piece.length;
        done();
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    },
  });
  const whole = async function* () {
    yield first.value;
    yield* blob;
  };
  try {
    await pipeline(Readable.from(whole(), { objectMode: false }), decompressor(compression), sink);
  } catch (error) {
    if (error instanceof KataError) throw error;
    throw invalid(name, describeError(error));
  }
  return { diffId: `sha256:${digest.digest("hex")}`, length };
}

function decompressor(compression: Compression): Transform {
  switch (compression) {
    case "gzip":
      return createGunzip();
    case "zstd":
      return zstdStream();
    case "none":
      return new Transform({ transform: (piece, _encoding, done) => done(null, piece) });
  }
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-layer", { operation: "decompress layer", object, hint });
}

/** Writes a piece of an archive into its file. */
export function writeAt(descriptor: number, piece: Uint8Array, at: number): void {
  for (let done = 0; done < piece.length; )
    done += writeSync(descriptor, piece, done, piece.length - done, at + done);
}

/** The bytes of an open file. */
export function fileSource(descriptor: number, length: number): ByteSource {
  let window = Buffer.alloc(WINDOW_BYTES);
  let start = 0;
  let filled = 0;
  return {
    length,
    read(offset, wanted) {
      if (offset < 0 || wanted < 0 || offset + wanted > length) {
        throw new RangeError(`bytes ${offset} to ${offset + wanted} of ${length}`);
      }
      if (offset >= start && offset + wanted <= start + filled) {
        return window.subarray(offset - start, offset - start + wanted);
      }
      if (wanted > window.length) window = Buffer.alloc(wanted);
      start = offset;
      filled = 0;
      const end = Math.min(window.length, length - offset);
      while (filled < end) {
        const count = readSync(descriptor, window, filled, end - filled, offset + filled);
        if (count === 0) throw new RangeError("the file has become shorter");
        filled += count;
      }
      return window.subarray(0, wanted);
    },
  };
}
