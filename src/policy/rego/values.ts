/**
 * Rego values as TypeScript sees them.
 *
 * Null, booleans and strings are themselves; numbers see decimal.ts; arrays are JavaScript arrays that nobody
 * changes once they are values. Sets and objects index their members by a {@link Key}, a primitive that two values
 * share exactly if they are equal.
 */
import { compareNumbers, Decimal, formatNumber, type RegoNumber } from "./decimal.ts";

export type Value = null | boolean | RegoNumber | string | RegoArray | RegoSet | RegoObject;
export type RegoArray = readonly Value[];

/** Counts work and memory as a walk through values goes on; it throws at a limit. */
export interface Meter {
  spend(steps: number): void;
  charge(units: number): void;
}

/**
 * What comparing, keying and printing values is counted by: the evaluation under way. A value may hold the same array
 * many times over, so that going through it can take far longer than making it did.
 */
export let meter: Meter = { spend: () => undefined, charge: () => undefined };

/** Runs `work` with `by` counting. */
export function metered<T>(by: Meter, work: () => T): T {
  const outer = meter;
  meter = by;
  try {
    return work();
  } finally {
    meter = outer;
  }
}

/** Goes through all of `value` for the meter's sake: afterwards it is small enough to be printed. */
export function measure(value: Value): void {
  if (typeof value === "string") {
    meter.spend(value.length >> 4);
  } else if (isArray(value)) {
    meter.spend(value.length);
    for (const item of value) measure(item);
  } else if (value instanceof RegoSet) {
    meter.spend(value.size);
    for (const item of value.unordered()) measure(item);
  } else if (value instanceof RegoObject) {
    meter.spend(value.size);
    for (const [key, field] of value.unorderedEntries()) {
      measure(key);
      measure(field);
    }
  }
}

/** A map key that is the same for equal values: the value itself if it is a plain scalar, a text that begins with NUL otherwise. */
export type Key = null | boolean | number | string;

export function keyOf(value: Value): Key {
  if (typeof value === "string") return value.charCodeAt(0) === 0 ? `\0s${value}` : value;
  if (typeof value !== "object" || value === null) return value;
  return `\0${canonicalText(value)}`;
}

/** A text that is equal for equal values only. */
function canonicalText(value: Value): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value !== "object" || value === null) return `${value}`;
  if (value instanceof Decimal) return formatNumber(value);
  if (value instanceof RegoSet || value instanceof RegoObject) return value.canonicalText();
  meter.spend(value.length);
  let text = "[";
  for (const item of value) text += `${canonicalText(item)},`;
  meter.charge(text.length >> 4);
  return `${text}]`;
}

/** A set of values, iterated in Rego's order. */
export class RegoSet {
  private readonly members = new Map<Key, Value>();
  private sorted: readonly Value[] | undefined;
  private text: string | undefined;

  static of(values: Iterable<Value>): RegoSet {
    const set = new RegoSet();
    for (const value of values) set.add(value);
    return set;
  }

  /** Only while the set is being built. */
  add(value: Value): void {
    this.members.set(keyOf(value), value);
    this.sorted = undefined;
    this.text = undefined;
  }

  get size(): number {
    return this.members.size;
  }

  has(value: Value): boolean {
    return this.members.has(keyOf(value));
  }

  /** The members in no particular order. */
  unordered(): IterableIterator<Value> {
    return this.members.values();
  }

  /** The members in Rego's order; the caller leaves the array as it is. */
  values(): readonly Value[] {
    this.sorted ??= [...this.members.values()].sort(compareValues);
    return this.sorted;
  }

  canonicalText(): string {
    if (this.text === undefined) {
      let text = "<";
      for (const item of this.values()) text += `${canonicalText(item)},`;
      meter.charge(text.length >> 4);
      this.text = `${text}>`;
    }
    return this.text;
  }
}

/** An object with keys of any kind, iterated in Rego's order of keys. */
export class RegoObject {
  private readonly fields = new Map<Key, Value>();
  /** The keys whose {@link Key} is not themselves. */
  private unusual: Map<Key, Value> | undefined;
  private sorted: readonly Value[] | undefined;
  private text: string | undefined;

  static of(entries: Iterable<readonly [Value, Value]>): RegoObject {
    const object = new RegoObject();
    for (const [key, value] of entries) object.set(key, value);
    return object;
  }

  /** Only while the object is being built. */
  set(key: Value, value: Value): void {
    const index = keyOf(key);
    this.fields.set(index, value);
    if (index !== key) {
      this.unusual ??= new Map();
      this.unusual.set(index, key);
    }
    this.sorted = undefined;
    this.text = undefined;
  }

  get size(): number {
    return this.fields.size;
  }

  get(key: Value): Value | undefined {
    return this.fields.get(keyOf(key));
  }

  has(key: Value): boolean {
    return this.fields.has(keyOf(key));
  }

  /** The keys in Rego's order; the caller leaves the array as it is. */
  keys(): readonly Value[] {
    this.sorted ??= [...this.fields.keys()].map((key) => this.original(key)).sort(compareValues);
    return this.sorted;
  }

  /** Keys and values in Rego's order of keys. */
  *entries(): IterableIterator<[Value, Value]> {
    for (const key of this.keys()) {
      const value = this.get(key);
      if (value !== undefined) yield [key, value];
    }
  }

  /** Keys and values in no particular order. */
  *unorderedEntries(): IterableIterator<[Value, Value]> {
    for (const [key, value] of this.fields) yield [this.original(key), value];
  }

  /** A copy that may be built further. */
  copy(): RegoObject {
    const copy = new RegoObject();
    for (const [key, value] of this.unorderedEntries()) copy.set(key, value);
    return copy;
  }

  canonicalText(): string {
    if (this.text === undefined) {
      let text = "{";
      for (const [key, value] of this.entries()) text += `${canonicalText(key)}:${canonicalText(value)},`;
      meter.charge(text.length >> 4);
      this.text = `${text}}`;
    }
    return this.text;
  }

  private original(key: Key): Value {
    const unusual = this.unusual?.get(key);
    return unusual === undefined ? key : unusual;
  }
}

export type TypeName = "null" | "boolean" | "number" | "string" | "array" | "object" | "set";

export function isArray(value: Value | undefined): value is RegoArray {
  return Array.isArray(value);
}

export function isNumber(value: Value | undefined): value is RegoNumber {
  return typeof value === "number" || value instanceof Decimal;
}

/** Rego's name of the value's type, as `type_name` gives it. */
export function typeName(value: Value): TypeName {
  switch (typeof value) {
    case "string":
      return "string";
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    default:
      if (value === null) return "null";
      if (value instanceof RegoObject) return "object";
      if (value instanceof RegoSet) return "set";
      return value instanceof Decimal ? "number" : "array";
  }
}

const ORDER: Record<TypeName, number> = {
  null: 0,
  boolean: 1,
  number: 2,
  string: 3,
  array: 4,
  object: 5,
  set: 6,
};

/** Rego's total order: null < booleans < numbers < strings < arrays < objects < sets. */
export function compareValues(a: Value, b: Value): number {
  if (a === b) return 0;
  if (typeof a === "string" && typeof b === "string") return compareStrings(a, b);
  if (typeof a === "number" && typeof b === "number") return a < b ? -1 : a > b ? 1 : 0;
  const typeA = typeName(a);
  const typeB = typeName(b);
  if (typeA !== typeB) return ORDER[typeA] < ORDER[typeB] ? -1 : 1;
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b);
  if (isArray(a) && isArray(b)) return compareArrays(a, b);
  if (a instanceof RegoSet && b instanceof RegoSet) return compareArrays(a.values(), b.values());
  if (a instanceof RegoObject && b instanceof RegoObject) return compareObjects(a, b);
  return a === false ? -1 : 1;
}

/** Order of code points, as Go compares UTF-8 bytes. */
export function compareStrings(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) {
      // A surrogate stands for a code point above every other unit.
      const high = (unit: number) =>
        unit >= 0xd800 && unit <= 0xdfff ? unit + 0x2000 : unit > 0xdfff ? unit - 0x800 : unit;
      return high(x) < high(y) ? -1 : 1;
    }
  }
  return a.length === b.length ? 0 : a.length < b.length ? -1 : 1;
}

export function equalValues(a: Value, b: Value): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (isArray(a)) {
    if (!isArray(b) || a.length !== b.length) return false;
    meter.spend(a.length);
    for (let i = 0; i < a.length; i++) {
      if (!equalValues(a[i] as Value, b[i] as Value)) return false;
    }
    return true;
  }
  if (a instanceof RegoObject) {
    if (!(b instanceof RegoObject) || a.size !== b.size) return false;
    meter.spend(a.size);
    for (const [key, value] of a.unorderedEntries()) {
      const other = b.get(key);
      if (other === undefined || !equalValues(value, other)) return false;
    }
    return true;
  }
  if (a instanceof RegoSet) {
    if (!(b instanceof RegoSet) || a.size !== b.size) return false;
    for (const value of a.unordered()) if (!b.has(value)) return false;
    return true;
  }
  return compareValues(a, b) === 0;
}

function compareArrays(a: RegoArray, b: RegoArray): number {
  const length = Math.min(a.length, b.length);
  meter.spend(length);
  for (let i = 0; i < length; i++) {
    const order = compareValues(a[i] as Value, b[i] as Value);
    if (order !== 0) return order;
  }
  return Math.sign(a.length - b.length);
}

function compareObjects(a: RegoObject, b: RegoObject): number {
  const keysA = a.keys();
  const keysB = b.keys();
  const length = Math.min(keysA.length, keysB.length);
  meter.spend(length);
  for (let i = 0; i < length; i++) {
    const keyA = keysA[i] as Value;
    const keyB = keysB[i] as Value;
    const order = compareValues(keyA, keyB);
    if (order !== 0) return order;
    const values = compareValues(a.get(keyA) as Value, b.get(keyB) as Value);
    if (values !== 0) return values;
  }
  return Math.sign(keysA.length - keysB.length);
}
