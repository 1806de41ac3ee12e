/**
 * Reading JSON that somebody else wrote into our types.
 *
 * A reader takes a value and its place (`process.args[0]`) and gives back the typed value or fails with that place.
 * A record's readers are checked against its type by the compiler, so neither can have a field that the other lacks.
 */
import { KataError } from "../kata-error.ts";
import type { Int64 } from "./types.ts";

export type Reader<T> = (value: unknown, place: string) => T;

/**
 * Whether places are put together. A specification has hundreds of them, and nearly all are read without a fault: one that has a
 * fault is read again with places.
 */
let tellsPlaces = false;

/** What `read` makes of a whole document. @throws KataError `invalid-argument` with the place of the first fault. */
export function readDocument<T>(read: Reader<T>, value: unknown): T {
  try {
    return read(value, "");
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    tellsPlaces = true;
    try {
      return read(value, "");
    } finally {
      tellsPlaces = false;
    }
  }
}

/** Most entries of one list or map: an environment of thousands of variables is real, a million of them is an attack. */
export const MAX_ENTRIES = 65_536;

/** Longest string, UTF-16 units: more than the kernel's largest argument and than any annotation in use. */
export const MAX_STRING_LENGTH = 4 << 20;

/** Stands for an integer too large for a JSON number in the text; a NUL can be in no string that is accepted. */
export const BIG_INTEGER_MARK = "\0integer ";

/** What `value` is, for a message. */
function nameKind(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "number")
    return Number.isInteger(value) ? `number ${value}` : "a number with a fraction";
  if (typeof value === "string") {
    if (value.startsWith(BIG_INTEGER_MARK)) return `number ${value.slice(BIG_INTEGER_MARK.length, 40)}`;
    return `string ${JSON.stringify(value.slice(0, 60))}`;
  }
  return typeof value === "object" ? "an object" : `${typeof value} ${String(value)}`;
}

export function mismatch(place: string, expected: string, value: unknown): KataError {
  return new KataError("invalid-argument", {
    operation: "read spec",
    object: `${place === "" ? "document" : place}: expected ${expected}, got ${nameKind(value)}`,
  });
}

/** Text without NUL, which nothing that goes to the kernel can hold. */
export const text: Reader<string> = (value, place) => {
  if (typeof value !== "string" || value.startsWith(BIG_INTEGER_MARK))
    throw mismatch(place, "a string", value);
  if (value.includes("\0")) throw mismatch(place, "a string without NUL", value);
  if (value.length > MAX_STRING_LENGTH)
    throw mismatch(place, `at most ${MAX_STRING_LENGTH} characters`, value);
  return value;
};

export const flag: Reader<boolean> = (value, place) => {
  if (typeof value !== "boolean") throw mismatch(place, "true or false", value);
  return value;
};

/** An integer that a number holds exactly. Decoders of 64-bit fields may give a bigint for it. */
export function integer(min: number, max: number): Reader<number> {
  return (given, place) => {
    const value = typeof given === "bigint" && given >= min && given <= max ? Number(given) : given;
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      throw mismatch(place, `an integer from ${min} to ${max}`, value);
    }
    return value;
  };
}

function wideInteger(min: bigint, max: bigint): Reader<Int64> {
  return (value, place) => {
    const exact = toBigInt(value);
    if (exact === undefined || exact < min) throw mismatch(place, `an integer from ${min} to ${max}`, value);
    if (exact > max) {
      // A parser without 64-bit integers rounds the largest one up to the next power of two.
      if (typeof value === "number" && exact === max + 1n) return max;
      throw mismatch(place, `an integer from ${min} to ${max}`, value);
    }
    const number = Number(exact);
    return Number.isSafeInteger(number) ? number : exact;
  };
}

function toBigInt(value: unknown): bigint | undefined {
  if (typeof value === "bigint") return value;
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : undefined;
  if (typeof value !== "string" || !value.startsWith(BIG_INTEGER_MARK)) return undefined;
  const digits = value.slice(BIG_INTEGER_MARK.length);
  return /^-?\d{1,20}$/.test(digits) ? BigInt(digits) : undefined;
}

export const int32 = integer(-0x8000_0000, 0x7fff_ffff);
export const uint32 = integer(0, 0xffff_ffff);
export const uint16 = integer(0, 0xffff);
export const int64 = wideInteger(-(1n << 63n), (1n << 63n) - 1n);
export const uint64 = wideInteger(0n, (1n << 64n) - 1n);

/** One of a few words. */
export function oneOf<const T extends string>(...words: readonly T[]): Reader<T> {
  return (value, place) => {
    const found = words.find((word) => word === value);
    if (found === undefined) throw mismatch(place, `one of ${words.join(", ")}`, value);
    return found;
  };
}

/** Text of a form that `expected` describes. */
export function matching(pattern: RegExp, expected: string): Reader<string> {
  return (value, place) => {
    const string = text(value, place);
    if (!pattern.test(string)) throw mismatch(place, expected, value);
    return string;
  };
}

export function listOf<T>(read: Reader<T>, what: string, min = 0): Reader<readonly T[]> {
  return (value, place) => {
    if (!Array.isArray(value)) throw mismatch(place, `a list of ${what}`, value);
    if (value.length < min || value.length > MAX_ENTRIES) {
      throw new KataError("invalid-argument", {
        operation: "read spec",
        object: `${place}: expected ${min} to ${MAX_ENTRIES} ${what}, got ${value.length}`,
      });
    }
    return value.map((item, index) => read(item, tellsPlaces ? `${place}[${index}]` : ""));
  };
}

function plainObject(value: unknown, place: string): object {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw mismatch(place, "an object", value);
  }
  return value;
}

export function mapOf<T>(read: Reader<T>): Reader<Readonly<Record<string, T>>> {
  return (value, place) => {
    const entries = Object.entries(plainObject(value, place));
    if (entries.length > MAX_ENTRIES) throw mismatch(place, `at most ${MAX_ENTRIES} entries`, value);
    // fromEntries defines its keys: one called __proto__ is a key like others.
    return Object.fromEntries(
      entries.map(([key, item]) => {
        const shown = tellsPlaces ? `${place}[${JSON.stringify(key.slice(0, 80))}]` : "";
        return [text(key, shown), read(item, shown)];
      }),
    );
  };
}

/** A field that may be missing. Go writes `null` for a list or an object that was never made. */
export interface OptionalField<T> {
  readonly optional: Reader<T>;
}

export function optional<T>(read: Reader<T>): OptionalField<T> {
  return { optional: read };
}

/** A reader for each field of `T`, an optional one for the optional fields. */
export type Fields<T> = {
  readonly [K in keyof T]-?: undefined extends T[K]
    ? OptionalField<NonNullable<T[K]>>
    : object extends Pick<T, K>
      ? OptionalField<NonNullable<T[K]>>
      : Reader<T[K]>;
};

/** An object with the given fields; others are passed over. */
export function objectOf<T extends object>(fields: Fields<T>): Reader<T> {
  const readers = Object.entries(fields) as [string, Reader<unknown> | OptionalField<unknown>][];
  return (value, place) => {
    const from = plainObject(value, place) as Record<string, unknown>;
    const into: Record<string, unknown> = {};
    for (const [name, field] of readers) {
      let item = from[name];
      // What every object has is no field.
      if (item !== undefined && !Object.hasOwn(from, name)) item = undefined;
      const inner = tellsPlaces && place !== "" ? `${place}.${name}` : name;
      if (typeof field === "function") {
        if (item === undefined) throw missing(inner);
        into[name] = field(item, inner);
      } else if (item !== undefined && item !== null) {
        into[name] = field.optional(item, inner);
      }
    }
    return into as T;
  };
}

function missing(place: string): KataError {
  return new KataError("invalid-argument", { operation: "read spec", object: `${place}: it is required` });
}
