/**
 * Decompression of LZ4's legacy frame, in which the kernel's own build packs a kernel.
 *
 * Source: lz4, doc/lz4_Frame_format.md ("Legacy frame") and doc/lz4_Block_format.md.
 */
import { KataError } from "../kata-error.ts";

const MAGIC = 0x184c2102;

/** What one block but the last unpacks to, bytes. */
const BLOCK_BYTES = 8 << 20;

/** A match is this much longer than its length field says, bytes. */
const MIN_MATCH_BYTES = 4;

/** Whether `data` begins as a legacy frame does. */
export function isLegacyLz4(data: Uint8Array): boolean {
  return data.length >= 4 && littleEndian32(data, 0) === MAGIC;
}

/**
 * Unpacks a legacy frame of known size.
 *
 * @param size what it unpacks to, bytes.
 * @throws KataError `malformed-lz4` if `data` is no such frame or unpacks to another size.
 */
export function decompressLegacyLz4(data: Uint8Array, size: number): Uint8Array {
  if (!isLegacyLz4(data)) throw malformed("it does not begin with the frame's magic number");
  const output = new Uint8Array(size);
  let input = 4;
  let written = 0;
  while (written < size) {
    if (input + 4 > data.length) throw malformed(`it ends after ${written} of ${size} bytes`);
    const end = input + 4 + littleEndian32(data, input);
    if (end > data.length) throw malformed(`a block at ${input} goes beyond the end`);
    written = decompressBlock(data.subarray(input + 4, end), output, written);
    input = end;
  }
  return output;
}

/** @returns where in `output` the block's bytes end. */
function decompressBlock(block: Uint8Array, output: Uint8Array, start: number): number {
  const limit = Math.min(output.length, start + BLOCK_BYTES);
  let input = 0;
  let written = start;
  const extended = (nibble: number): number => {
    let length = nibble;
    if (nibble !== 15) return length;
    for (;;) {
      const byte = block[input++];
      if (byte === undefined) throw malformed("a length goes beyond its block");
      length += byte;
      if (byte !== 255) return length;
    }
  };
  while (input < block.length) {
    const token = block[input++] ?? 0;
    const literals = extended(token >> 4);
    if (input + literals > block.length || written + literals > limit) throw malformed("literals do not fit");
    output.set(block.subarray(input, input + literals), written);
    input += literals;
    written += literals;
    // The last sequence of a block is literals alone.
    if (input === block.length) return written;
    const distance = (block[input] ?? 0) | ((block[input + 1] ?? 0) << 8);
    input += 2;
    const length = extended(token & 15) + MIN_MATCH_BYTES;
    if (distance === 0 || distance > written - start || written + length > limit)
      throw malformed("a match does not fit");
    if (distance >= length) {
      output.copyWithin(written, written - distance, written - distance + length);
      written += length;
    } else {
      // An overlapping match repeats what it writes.
      for (const end = written + length; written < end; written++)
        output[written] = output[written - distance] ?? 0;
    }
  }
  return written;
}

function littleEndian32(data: Uint8Array, offset: number): number {
  return new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(offset, true);
}

function malformed(what: string): KataError {
  return new KataError("malformed-lz4", { operation: "unpack LZ4 frame", object: what });
}
