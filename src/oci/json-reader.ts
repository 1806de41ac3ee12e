/**
 * Reading JSON that somebody else wrote into our types.
 *
 * A reader takes a value and its place (`process.args[0]`) and gives back the typed value or fails with that place.
 * A record's readers are checked against its type by the compiler, so neither can have a field that the other lacks.
 */
import { KataError } from "../kata-error.ts";
import type { Int64 } from "./types.ts";

export interface Reader<T> {
  (value: unknown, place: string): T;
  /** What it is made of, for who reads another form of the same document. */
  readonly parts?: ReaderParts;
}

export type ReaderParts =
  | { readonly kind: "object"; readonly fields: readonly FieldReader[] }
  | { readonly kind: "list"; readonly element: Reader<unknown>; readonly min: number }
  | {
      readonly kind: "finished";
      readonly read: Reader<unknown>;
      readonly finish: (read: unknown) => unknown;
    };

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
  if (typeof value !== "string") throw mismatch(place, "a string", value);
  if (value.includes("\0")) {
    const expected = value.startsWith(BIG_INTEGER_MARK) ? "a string" : "a string without NUL";
    throw mismatch(place, expected, value);
  }
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
  const reader = (value: unknown, place: string): readonly T[] => {
    if (!Array.isArray(value)) throw mismatch(place, `a list of ${what}`, value);
    if (value.length < min || value.length > MAX_ENTRIES) {
      throw new KataError("invalid-argument", {
        operation: "read spec",
        object: `${place}: expected ${min} to ${MAX_ENTRIES} ${what}, got ${value.length}`,
      });
    }
    const list: T[] = [];
    for (let index = 0; index < value.length; index++) {
      list.push(read(value[index], tellsPlaces ? `${place}[${index}]` : ""));
    }
    return list;
  };
  return Object.assign(reader, { parts: { kind: "list", element: read, min } as const });
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

/** What `read` gives, as `finish` makes it: defaults filled in. */
export function finished<T, R>(read: Reader<T>, finish: (read: T) => R): Reader<R> {
  const reader = (value: unknown, place: string): R => finish(read(value, place));
  const parts = { kind: "finished", read, finish: finish as (read: unknown) => unknown } as const;
  return Object.assign(reader, { parts });
}

export interface FieldReader {
  readonly name: string;
  readonly read: Reader<unknown>;
  readonly isOptional: boolean;
  /** Every object has something of that name, which is no field. */
  readonly isInherited: boolean;
}

/** An object with the given fields; others are passed over. */
export function objectOf<T extends object>(fields: Fields<T>): Reader<T> {
  const entries = Object.entries(fields) as [string, Reader<unknown> | OptionalField<unknown>][];
  const readers = entries.map(([name, field]): FieldReader => {
    const isOptional = typeof field !== "function";
    const read = typeof field === "function" ? field : field.optional;
    return { name, read, isOptional, isInherited: name in Object.prototype };
  });
  const reader = (value: unknown, place: string): T => {
    const from = plainObject(value, place) as Record<string, unknown>;
    const into: Record<string, unknown> = {};
    // By index: a specification has hundreds of fields, most of them absent, and an iterator costs more than they do.
    for (let index = 0; index < readers.length; index++) {
      const { name, read, isOptional, isInherited } = readers[index] as FieldReader;
      const item = from[name];
      if (item === undefined || (isInherited && !Object.hasOwn(from, name))) {
        if (!isOptional) throw missing(placeOf(place, name));
      } else if (item !== null || !isOptional) {
        into[name] = read(item, tellsPlaces ? placeOf(place, name) : name);
      }
    }
    return into as T;
  };
  return Object.assign(reader, { parts: { kind: "object", fields: readers } as const });
}

function placeOf(place: string, name: string): string {
  return tellsPlaces && place !== "" ? `${place}.${name}` : name;
}

function missing(place: string): KataError {
  return new KataError("invalid-argument", { operation: "read spec", object: `${place}: it is required` });
}
