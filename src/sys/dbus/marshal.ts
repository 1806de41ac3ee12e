/**
 * D-Bus values as bytes: each aligned to its size from the message's beginning, little endian.
 *
 * Of the types, those that systemd's manager needs: bytes, booleans, 32 and 64-bit numbers, texts, object paths, signatures, arrays,
 * structures, dictionaries' entries and variants.
 * Source: D-Bus specification 0.41, "Marshaling".
 */
import { KataError } from "../../kata-error.ts";
import { utf8Decode, utf8Encode } from "../utf8.ts";

/** A variant: its type and its value. */
export interface Variant {
  readonly signature: string;
  readonly value: DbusValue;
}

export type DbusValue = number | bigint | boolean | string | Variant | readonly DbusValue[];

/** Containers in containers; the specification allows 64. */
const MAX_DEPTH = 16;
/** Longest text or array that is read, bytes: systemd's answers have some hundred. */
const MAX_ITEM_BYTES = 1 << 16;
/** Most elements of an array that are read. */
const MAX_ELEMENTS = 4096;

const ALIGNMENT: Readonly<Record<string, number>> = {
  y: 1,
  g: 1,
  v: 1,
  b: 4,
  i: 4,
  u: 4,
  s: 4,
  o: 4,
  a: 4,
  x: 8,
  t: 8,
  "(": 8,
  "{": 8,
};

/** The complete types of a signature: `sa(sv)` is `s`, `a(sv)`. @throws KataError `malformed-message`. */
export function splitSignature(signature: string): string[] {
  const types: string[] = [];
  for (let at = 0; at < signature.length; ) {
    const end = endOfType(signature, at, 0);
    types.push(signature.slice(at, end));
    at = end;
  }
  return types;
}

function endOfType(signature: string, at: number, depth: number): number {
  const code = signature[at];
  if (code === undefined || depth > MAX_DEPTH || ALIGNMENT[code] === undefined)
    throw malformed(`type ${signature.slice(0, 80)}`);
  if (code === "a") return endOfType(signature, at + 1, depth + 1);
  if (code !== "(" && code !== "{") return at + 1;
  const close = code === "(" ? ")" : "}";
  let end = at + 1;
  while (signature[end] !== close) end = endOfType(signature, end, depth + 1);
  return end + 1;
}

export class DbusWriter {
  #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  align(size: number): void {
    while (this.#bytes.length % size !== 0) this.#bytes.push(0);
  }

  /** Writes `value` as the complete type `type`. @throws KataError `invalid-argument` for a value of another type. */
  write(type: string, value: DbusValue): void {
    const code = type[0] ?? "";
    this.align(ALIGNMENT[code] ?? 1);
    switch (code) {
      case "y":
        this.#number(Number(value), 1);
        return;
      case "b":
      case "u":
      case "i":
        this.#number(Number(value) >>> 0, 4);
        return;
      case "t":
      case "x":
        this.#number(Number(BigInt(value as bigint) & 0xffff_ffffn), 4);
        this.#number(Number((BigInt(value as bigint) >> 32n) & 0xffff_ffffn), 4);
        return;
      case "s":
      case "o":
        this.#text(String(value), 4);
        return;
      case "g":
        this.#text(String(value), 1);
        return;
      case "v": {
        const { signature, value: inner } = asVariant(value);
        this.#text(signature, 1);
        this.write(signature, inner);
        return;
      }
      case "a":
        this.#array(type.slice(1), asList(value));
        return;
      default: {
        const fields = splitSignature(type.slice(1, -1));
        const values = asList(value);
        if (fields.length !== values.length) throw invalid(type);
        for (const [index, field] of fields.entries()) this.write(field, values[index] ?? 0);
      }
    }
  }

  #array(element: string, values: readonly DbusValue[]): void {
    const lengthAt = this.#bytes.length;
    this.#number(0, 4);
    this.align(ALIGNMENT[element[0] ?? ""] ?? 1);
    const start = this.#bytes.length;
    for (const value of values) this.write(element, value);
    const length = this.#bytes.length - start;
    for (let byte = 0; byte < 4; byte++) this.#bytes[lengthAt + byte] = (length >>> (8 * byte)) & 0xff;
  }

  #number(value: number, size: number): void {
    for (let byte = 0; byte < size; byte++) this.#bytes.push((value >>> (8 * byte)) & 0xff);
  }

  #text(text: string, lengthSize: number): void {
    const encoded = utf8Encode(text);
    this.#number(encoded.length, lengthSize);
    this.#bytes.push(...encoded, 0);
  }
}

export class DbusReader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  #at: number;

  /** @param at where to begin; alignment counts from the beginning of `bytes`. */
  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = at;
  }

  get position(): number {
    return this.#at;
  }

  align(size: number): void {
    this.#at = Math.ceil(this.#at / size) * size;
  }

  /** Reads a value of the complete type `type`. @throws KataError `malformed-message` for what is longer or deeper than it may be. */
  read(type: string, depth = 0): DbusValue {
    if (depth > MAX_DEPTH) throw malformed("it is nested too deeply");
    const code = type[0] ?? "";
    this.align(ALIGNMENT[code] ?? 1);
    switch (code) {
      case "y":
        return this.#bytes[this.#take(1)] ?? 0;
      case "b":
        return this.#view.getUint32(this.#take(4), true) !== 0;
      case "u":
        return this.#view.getUint32(this.#take(4), true);
      case "i":
        return this.#view.getInt32(this.#take(4), true);
      case "t":
        return this.#view.getBigUint64(this.#take(8), true);
      case "x":
        return this.#view.getBigInt64(this.#take(8), true);
      case "s":
      case "o":
        return this.#text(this.#view.getUint32(this.#take(4), true));
      case "g":
        return this.#text(this.#bytes[this.#take(1)] ?? 0);
      case "v": {
        const signature = String(this.read("g"));
        const [only, ...others] = splitSignature(signature);
        if (only === undefined || others.length > 0) throw malformed(`a variant of type ${signature}`);
        return { signature, value: this.read(only, depth + 1) };
      }
      case "a":
        return this.#array(type.slice(1), depth);
      default:
        return splitSignature(type.slice(1, -1)).map((field) => this.read(field, depth + 1));
    }
  }

  #array(element: string, depth: number): DbusValue[] {
    const length = this.#view.getUint32(this.#take(4), true);
    if (length > MAX_ITEM_BYTES) throw malformed(`an array of ${length} bytes`);
    this.align(ALIGNMENT[element[0] ?? ""] ?? 1);
    const end = this.#at + length;
    const values: DbusValue[] = [];
    while (this.#at < end) {
      if (values.length >= MAX_ELEMENTS) throw malformed(`an array of more than ${MAX_ELEMENTS}`);
      values.push(this.read(element, depth + 1));
    }
    if (this.#at !== end) throw malformed("an array ends within an element");
    return values;
  }

  #text(length: number): string {
    if (length > MAX_ITEM_BYTES) throw malformed(`a text of ${length} bytes`);
    const start = this.#take(length + 1);
    return utf8Decode(this.#bytes.subarray(start, start + length));
  }

  /** Steps over `count` bytes. @returns where they begin. */
  #take(count: number): number {
    const start = this.#at;
    if (start + count > this.#bytes.length) throw malformed("it ends too early");
    this.#at += count;
    return start;
  }
}

function asVariant(value: DbusValue): Variant {
  if (typeof value === "object" && "signature" in value) return value;
  throw invalid("v");
}

function asList(value: DbusValue): readonly DbusValue[] {
  if (Array.isArray(value)) return value;
  throw invalid("a list");
}

function invalid(type: string): KataError {
  return new KataError("invalid-argument", {
    operation: "make D-Bus message",
    object: `no value of type ${type}`,
  });
}

export function malformed(object: string): KataError {
  return new KataError("malformed-message", { operation: "read D-Bus message", object });
}
