/**
 * Reads protobuf messages, which may come from a hostile peer.
 *
 * Generated code asks for one value after the other. Every length is checked against what is there before it is used; depth
 * and number of values are bounded, so a message of n bytes costs memory in proportion to n plus {@link MAX_ELEMENTS} objects.
 * Byte fields are views of the message's buffer.
 * Source: protobuf.dev, "Encoding".
 */
import { KataError } from "../kata-error.ts";
import { utf8DecodeAt, utf8Encode } from "../sys/utf8.ts";

/** Most messages inside of each other: what protobuf's own implementations allow. */
export const MAX_DEPTH = 100;
/**
 * Most elements of all lists and maps of a message together. An empty element takes two bytes on the wire and hundreds in
 * memory; a container with as many mounts, devices and variables as Linux lets it have stays far below.
 */
export const MAX_ELEMENTS = 1 << 16;

export const NO_BYTES: Uint8Array = new Uint8Array(0);

/** A message under construction. */
export type Draft<T> = {
  -readonly [K in keyof T]: T[K] extends readonly (infer E)[]
    ? E[]
    : T[K] extends ReadonlyMap<infer N, infer V>
      ? Map<N, V>
      : T[K];
};

/** The character that replaces what is no UTF-8. */
const REPLACEMENT = "\ufffd";

export class Reader {
  /** Where the next byte is. */
  at: number;
  /** Where the message that is being read ends. */
  end: number;
  readonly #bytes: Uint8Array;
  #depth = 0;
  #elements = 0;
  /** Upper half of the last varint. */
  #high = 0;

  /** @throws KataError `malformed-message` from here and all methods, if the bytes are none. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.at = 0;
    this.end = bytes.length;
  }

  /** The next field's number * 8 + wire type. */
  tag(): number {
    const at = this.at;
    const byte = this.#bytes[at] ?? 0;
    // Most are of one byte, and a call costs the engine more than reading it.
    if (byte >= 8 && byte < 0x80 && at < this.end) {
      this.at = at + 1;
      return byte;
    }
    const tag = this.#longVarint();
    if (tag < 8 || this.#high !== 0) malformed("a field has number 0");
    return tag;
  }

  bool(): boolean {
    return this.#varint() !== 0 || this.#high !== 0;
  }

  uint32(): number {
    return this.#varint();
  }

  int32(): number {
    return this.#varint() | 0;
  }

  uint64(): bigint {
    const low = this.#varint();
    return this.#high === 0 ? BigInt(low) : (BigInt(this.#high) << 32n) | BigInt(low);
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.uint64());
  }

  double(): number {
    const at = this.#take(8);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at, 8).getFloat64(0, true);
  }

  float(): number {
    const at = this.#take(4);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at, 4).getFloat32(0, true);
  }

  string(): string {
    let at = this.at;
    let length = this.#bytes[at] ?? 0;
    if (length < 0x80 && at + length < this.end) this.at = ++at + length;
    else {
      length = this.#varint();
      at = this.#take(length);
    }
    const text = utf8DecodeAt(this.#bytes, at, length);
    // The engine replaces what is no UTF-8; two names must not become the same by that.
    if (text.includes(REPLACEMENT) && !isSame(utf8Encode(text), this.#bytes.subarray(at, at + length))) {
      malformed("a string is not UTF-8");
    }
    return text;
  }

  /** A view of the message's bytes. */
  bytes(): Uint8Array {
    const length = this.#varint();
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** A nested message. A field that occurs again adds to `into`, what was read before. */
  message<T>(read: (r: Reader, into?: T) => T, into?: T): T {
    const outer = this.#enter();
    const value = read(this, into);
    this.end = outer;
    this.#depth--;
    return value;
  }

  /** An element of a list of messages. */
  messages<T>(list: T[], read: (r: Reader, into?: T) => T): void {
    this.#count();
    list.push(this.message(read));
  }

  /** Elements of a list of texts: one, and those of the same field that follow at once. */
  strings(list: string[], tag: number): void {
    for (;;) {
      if (++this.#elements > MAX_ELEMENTS) tooMany();
      list.push(this.string());
      const at = this.at;
      if (at >= this.end || tag > 0x7f || this.#bytes[at] !== tag) return;
      this.at = at + 1;
    }
  }

  /** An element of a list of numbers that is not packed. */
  push<T>(list: T[], value: T): void {
    this.#count();
    list.push(value);
  }

  packedUint32(list: number[]): void {
    this.#packed(() => list.push(this.uint32()));
  }

  packedInt32(list: number[]): void {
    this.#packed(() => list.push(this.int32()));
  }

  packedUint64(list: bigint[]): void {
    this.#packed(() => list.push(this.uint64()));
  }

  packedInt64(list: bigint[]): void {
    this.#packed(() => list.push(this.int64()));
  }

  /**
   * One entry of a map.
   *
   * @param read reads the value; what was read before if it occurs again.
   * @param zero the value if it does not occur.
   */
  entry<V>(map: Map<string, V>, valueTag: number, read: (before?: V) => V, zero: () => V): void {
    this.#count();
    const outer = this.#enter();
    let key = "";
    let value: V | undefined;
    while (this.at < this.end) {
      const tag = this.tag();
      if (tag === 10) key = this.string();
      else if (tag === valueTag) value = read(value);
      else this.skip(tag);
    }
    this.#leave(outer);
    map.set(key, value === undefined ? zero() : value);
  }

  /** Passes over the value of a field that is not known. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.#varint();
        return;
      case 1:
        this.#take(8);
        return;
      case 2:
        this.#take(this.#varint());
        return;
      case 3:
        this.#skipGroup(tag);
        return;
      case 5:
        this.#take(4);
        return;
      default:
        malformed(`a field has wire type ${tag & 7}`);
    }
  }

  /** Groups are of protobuf's past; a field that is not known may be one. */
  #skipGroup(start: number): void {
    this.#descend();
    for (;;) {
      const tag = this.tag();
      if (tag === start + 1) break;
      this.skip(tag);
    }
    this.#depth--;
  }

  /** Starts a nested message. @returns where the outer one ends, for {@link #leave}. */
  #enter(): number {
    const length = this.#varint();
    if (this.#high !== 0 || length > this.end - this.at) malformed("a field is longer than its message");
    this.#descend();
    const outer = this.end;
    this.end = this.at + length;
    return outer;
  }

  #leave(outer: number): void {
    this.end = outer;
    this.#depth--;
  }

  #descend(): void {
    if (++this.#depth > MAX_DEPTH) malformed(`messages are nested deeper than ${MAX_DEPTH}`);
  }

  #count(): void {
    if (++this.#elements > MAX_ELEMENTS) tooMany();
  }

  #packed(read: () => void): void {
    const outer = this.#enter();
    while (this.at < this.end) {
      this.#count();
      read();
    }
    this.#leave(outer);
  }

  /** Passes over `length` bytes. @returns where they start. */
  #take(length: number): number {
    if (this.#high !== 0 || length > this.end - this.at) malformed("a field is longer than its message");
    const at = this.at;
    this.at = at + length;
    return at;
  }

  /** @returns the lower half; the upper one is in {@link #high}. */
  #varint(): number {
    const at = this.at;
    const byte = this.#bytes[at] ?? 0;
    // Most are of one byte.
    if (byte < 0x80 && at < this.end) {
      this.at = at + 1;
      this.#high = 0;
      return byte;
    }
    return this.#longVarint();
  }

  #longVarint(): number {
    const bytes = this.#bytes;
    const end = this.end;
    let at = this.at;
    let low = 0;
    let high = 0;
    let shift = 0;
    // Of up to four bytes, as most are: nothing of the upper half is in them.
    for (; shift < 28; shift += 7) {
      if (at >= end) malformed("a number ends early");
      const byte = bytes[at++] as number;
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.at = at;
        this.#high = 0;
        return low;
      }
    }
    for (; ; shift += 7) {
      if (at >= end) malformed("a number ends early");
      if (shift > 63) malformed("a number has more than 64 bits");
      const byte = bytes[at++] ?? 0;
      const bits = byte & 0x7f;
      if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) break;
    }
    this.at = at;
    this.#high = high >>> 0;
    return low >>> 0;
  }
}

/** For the zero of a message in a map: no fields, so everything has its zero. */
export const NO_FIELDS: Reader = new Reader(NO_BYTES);

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function tooMany(): never {
  malformed(`lists and maps have more than ${MAX_ELEMENTS} elements`);
}

function malformed(why: string): never {
  throw new KataError("malformed-message", { operation: "decode message", object: why });
}
