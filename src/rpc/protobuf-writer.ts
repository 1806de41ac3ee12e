/**
 * Writes protobuf messages into one growing buffer.
 *
 * Generated code calls it with complete tags (`field number * 8 + wire type`). The length in front of a nested message is
 * known only behind it: one byte is kept free for it, and a longer length moves what was written.
 * Source: protobuf.dev, "Encoding".
 */
import { KataError } from "../kata-error.ts";
import { utf8EncodeInto } from "../sys/utf8.ts";

/** A map field for encoding. */
export type MapInput<V> = ReadonlyMap<string, V> | Readonly<Record<string, V>>;

/** First size of the buffer, bytes: most messages fit. */
const FIRST_BYTES = 256;
const MAX_UINT64 = (1n << 64n) - 1n;
/** Most bytes of a varint of 64 bits. */
const MAX_VARINT_BYTES = 10;
/** Tags of the two fields of a map's entry: strings both, or the value's own wire type. */
const ENTRY_KEY_TAG = 10;

export class Writer {
  #bytes: Uint8Array<ArrayBuffer>;
  /** The buffer's length, which the engine looks up much slower. */
  #capacity = FIRST_BYTES;
  #length: number;

  /** @param reserved bytes to keep free at the start, for a header. */
  constructor(reserved = 0) {
    this.#bytes = new Uint8Array(FIRST_BYTES);
    this.#length = reserved;
  }

  /** What was written so far: a view, which further writing may leave behind. */
  written(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  bool(tag: number, value: boolean): void {
    this.#small(tag);
    this.#small(value ? 1 : 0);
  }

  /** @throws KataError `invalid-argument` if `value` is no such number, here and below. */
  uint32(tag: number, value: number): void {
    if (value >>> 0 !== value) refuse("uint32", value);
    this.#small(tag);
    this.#small(value);
  }

  int32(tag: number, value: number): void {
    this.#small(tag);
    this.#int32(value);
  }

  uint64(tag: number, value: number | bigint): void {
    this.#small(tag);
    this.#uint64(value);
  }

  int64(tag: number, value: number | bigint): void {
    this.#small(tag);
    this.#int64(value);
  }

  double(tag: number, value: number): void {
    this.#small(tag);
    this.#reserve(8);
    new DataView(this.#bytes.buffer).setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  float(tag: number, value: number): void {
    this.#small(tag);
    this.#reserve(4);
    new DataView(this.#bytes.buffer).setFloat32(this.#length, value, true);
    this.#length += 4;
  }

  string(tag: number, value: string): void {
    const units = value.length;
    // A UTF-16 unit is at most three bytes.
    this.#reserve(units * 3 + 2 * MAX_VARINT_BYTES);
    const bytes = this.#bytes;
    const at = this.#length;
    if (tag < 0x80 && units < 0x80) {
      // Most texts are short and ASCII, and a call costs the engine more than writing one.
      const count = utf8EncodeInto(value, bytes, at + 2);
      if (count < 0x80) {
        bytes[at] = tag;
        bytes[at + 1] = count;
        this.#length = at + 2 + count;
        return;
      }
    }
    this.#small(tag);
    const start = this.#length + varintBytes(units);
    const count = utf8EncodeInto(value, bytes, start);
    const moved = this.#length + varintBytes(count);
    if (moved !== start) bytes.copyWithin(moved, start, start + count);
    this.#small(count);
    this.#length += count;
  }

  bytes(tag: number, value: Uint8Array): void {
    this.#small(tag);
    this.#small(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  message<M>(tag: number, value: M | undefined, write: (w: Writer, value: M) => void): void {
    if (value === undefined) return;
    const start = this.#begin(tag);
    write(this, value);
    this.#end(start);
  }

  messages<M>(tag: number, values: readonly M[] | undefined, write: (w: Writer, value: M) => void): void {
    if (values !== undefined) for (const value of values) this.message(tag, value, write);
  }

  strings(tag: number, values: readonly string[] | undefined): void {
    if (values === undefined) return;
    // An iterator costs the engine more than an index.
    for (let index = 0; index < values.length; index++) this.string(tag, values[index] ?? "");
  }

  packedUint32(tag: number, values: readonly number[] | undefined): void {
    this.#packed(tag, values, (value) => {
      if (value >>> 0 !== value) refuse("uint32", value);
      this.#small(value);
    });
  }

  packedInt32(tag: number, values: readonly number[] | undefined): void {
    this.#packed(tag, values, (value) => this.#int32(value));
  }

  packedUint64(tag: number, values: readonly (number | bigint)[] | undefined): void {
    this.#packed(tag, values, (value) => this.#uint64(value));
  }

  packedInt64(tag: number, values: readonly (number | bigint)[] | undefined): void {
    this.#packed(tag, values, (value) => this.#int64(value));
  }

  map<V>(tag: number, values: MapInput<V> | undefined, write: (value: V) => void): void {
    if (values === undefined) return;
    for (const [key, value] of values instanceof Map
      ? values
      : Object.entries<V>(values as Record<string, V>)) {
      const start = this.#begin(tag);
      this.string(ENTRY_KEY_TAG, key);
      write(value);
      this.#end(start);
    }
  }

  #packed<V>(tag: number, values: readonly V[] | undefined, write: (value: V) => void): void {
    if (values === undefined || values.length === 0) return;
    const start = this.#begin(tag);
    for (const value of values) write(value);
    this.#end(start);
  }

  /** @returns where the nested bytes start. */
  #begin(tag: number): number {
    this.#small(tag);
    this.#reserve(1);
    this.#length++;
    return this.#length;
  }

  #end(start: number): void {
    const length = this.#length - start;
    if (length < 0x80) {
      this.#bytes[start - 1] = length;
      return;
    }
    const more = varintBytes(length) - 1;
    this.#reserve(more);
    this.#bytes.copyWithin(start + more, start, this.#length);
    this.#length = start - 1;
    this.#small(length);
    this.#length += length;
  }

  /** A varint of 0 to 2^32 − 1. */
  #small(value: number): void {
    const bytes = this.#bytes;
    let at = this.#length;
    if (value < 0x80 && at < this.#capacity) {
      bytes[at] = value;
      this.#length = at + 1;
      return;
    }
    this.#reserve(MAX_VARINT_BYTES);
    const roomy = this.#bytes;
    let rest = value;
    while (rest > 0x7f) {
      roomy[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    roomy[at++] = rest;
    this.#length = at;
  }

  #int32(value: number): void {
    if ((value | 0) !== value) refuse("int32", value);
    if (value >= 0) this.#small(value);
    else this.#large(value >>> 0, 0xffff_ffff);
  }

  #uint64(value: number | bigint): void {
    if (typeof value === "number") {
      if (!Number.isSafeInteger(value) || value < 0) refuse("uint64", value);
      this.#safe(value);
    } else {
      // Not BigInt.asUintN(64): QuickJS 2025-04-26 answers with a negative number from 2^63 on.
      if (value < 0n || value > MAX_UINT64) refuse("uint64", value);
      this.#bigint(value);
    }
  }

  #int64(value: number | bigint): void {
    if (typeof value === "number") {
      if (!Number.isSafeInteger(value)) refuse("int64", value);
      if (value >= 0) this.#safe(value);
      else this.#bigint(BigInt(value));
    } else {
      if (BigInt.asIntN(64, value) !== value) refuse("int64", value);
      this.#bigint(value);
    }
  }

  /** 0 to 2^53 − 1. */
  #safe(value: number): void {
    if (value <= 0xffff_ffff) this.#small(value);
    else this.#large(value >>> 0, Math.floor(value / 0x1_0000_0000));
  }

  #bigint(value: bigint): void {
    this.#large(Number(BigInt.asUintN(32, value)), Number(BigInt.asUintN(32, value >> 32n)));
  }

  /** A varint of 64 bits in two halves. */
  #large(low: number, high: number): void {
    this.#reserve(MAX_VARINT_BYTES);
    const bytes = this.#bytes;
    let at = this.#length;
    let lower = low;
    let upper = high;
    while (upper > 0 || lower > 0x7f) {
      bytes[at++] = (lower & 0x7f) | 0x80;
      lower = ((lower >>> 7) | (upper << 25)) >>> 0;
      upper >>>= 7;
    }
    bytes[at++] = lower;
    this.#length = at;
  }

  /** Makes room for `count` more bytes. */
  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#capacity) return;
    this.#capacity = Math.max(needed, this.#capacity * 2);
    const larger = new Uint8Array(this.#capacity);
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** The bytes of a varint of 0 to 2^32 − 1. */
function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}

function refuse(type: string, value: number | bigint): never {
  throw new KataError("invalid-argument", { operation: "encode message", object: `${value} is no ${type}` });
}

/** `value` in bytes. */
export function encode<M>(write: (w: Writer, value: M) => void, value: M): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  write(writer, value);
  return writer.written();
}
