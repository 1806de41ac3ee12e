/** Bytes that can be read anywhere: those of a layer, which may be larger than memory. */

export interface ByteSource {
  readonly length: number;
  /**
   * The bytes from `offset`, exactly `length` of them.
   *
   * @returns a view that holds until the next call.
   * @throws RangeError beyond the end.
   */
  read(offset: number, length: number): Uint8Array;
}

/** Bytes in memory. */
export function sourceOf(bytes: Uint8Array): ByteSource {
  return {
    length: bytes.length,
    read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > bytes.length) {
        throw new RangeError(`bytes ${offset} to ${offset + length} of ${bytes.length}`);
      }
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** A piece of a source. */
export interface ByteRange {
  readonly source: ByteSource;
  readonly offset: number;
  readonly length: number;
}

export const NO_BYTES: ByteRange = { source: sourceOf(new Uint8Array(0)), offset: 0, length: 0 };
