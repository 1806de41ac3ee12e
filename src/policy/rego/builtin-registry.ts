/** What the compiler and the evaluator know of a builtin function. */
import type { Position } from "./ast.ts";
import { toBigInt } from "./decimal.ts";
import type { HostProviders, Run } from "./evaluation.ts";
import { BuiltinFault } from "./fault.ts";
import { isArray, isNumber, RegoObject, RegoSet, type TypeName, typeName, type Value } from "./values.ts";

/** What a builtin gets beside its operands. */
export interface BuiltinCall {
  readonly run: Run;
  readonly host: HostProviders;
  readonly at: Position;
}

export type BuiltinBody = (args: readonly Value[], call: BuiltinCall) => Value | undefined;

export interface Builtin {
  readonly name: string;
  /** The types each operand may have; empty means any. */
  readonly operands: readonly (readonly TypeName[])[];
  /** The same as bits of {@link typeBit}; 0 means any. */
  readonly operandBits: readonly number[];
  readonly evaluate: BuiltinBody;
}

export type BuiltinTable = Readonly<Record<string, Builtin>>;

const LETTERS: Readonly<Record<string, TypeName>> = {
  z: "null",
  b: "boolean",
  n: "number",
  s: "string",
  a: "array",
  o: "object",
  S: "set",
};

/**
 * A builtin whose operand types are written as one letter each, alternatives together, operands apart by commas:
 * `"s,aS"` is a string, then an array or set. `*` is any type; an empty text means no operands.
 */
export function builtin(name: string, signature: string, evaluate: BuiltinBody): Builtin {
  const operands = signature === "" ? [] : signature.split(",").map(operandTypes);
  const operandBits = operands.map((types) => types.reduce((bits, type) => bits | BITS[type], 0));
  return { name, operands, operandBits, evaluate };
}

const BITS: Readonly<Record<TypeName, number>> = {
  null: 1,
  boolean: 2,
  number: 4,
  string: 8,
  array: 16,
  object: 32,
  set: 64,
};

function operandTypes(letters: string): TypeName[] {
  const types: TypeName[] = [];
  for (const letter of letters) {
    const type = LETTERS[letter];
    if (type) types.push(type);
  }
  return types;
}

export function tableOf(builtins: Iterable<Builtin>): BuiltinTable {
  const table: Record<string, Builtin> = Object.create(null);
  for (const entry of builtins) table[entry.name] = entry;
  return table;
}

/** Why `value` cannot be operand `index` (from 0), or undefined if it can. */
export function operandFault(target: Builtin, index: number, value: Value): string | undefined {
  const bits = target.operandBits[index];
  if (!bits) return undefined;
  const actual = typeName(value);
  if ((bits & BITS[actual]) !== 0) return undefined;
  const types = target.operands[index] ?? [];
  return `${target.name}: operand ${index + 1} must be ${types.length > 1 ? `one of {${types.join(", ")}}` : types[0]} but got ${actual}`;
}

export function fault(name: string, why: string): BuiltinFault {
  return new BuiltinFault(`${name}: ${why}`);
}

/** The strings of an array or set; a fault names the operand otherwise. */
export function stringsOf(name: string, index: number, value: Value): readonly string[] {
  return membersOf(name, index, value).map((item) => {
    if (typeof item === "string") return item;
    throw fault(
      name,
      `operand ${index + 1} must be a collection of strings but it holds a ${typeName(item)}`,
    );
  });
}

/** The members of an array or set. */
export function membersOf(name: string, index: number, value: Value | undefined): readonly Value[] {
  if (isArray(value)) return value;
  if (value instanceof RegoSet) return value.values();
  throw fault(name, `operand ${index + 1} must be an array or a set`);
}

export function objectOf(name: string, value: Value | undefined): RegoObject {
  if (value instanceof RegoObject) return value;
  throw fault(name, "an object was expected");
}

/** The integer in `value` as a plain number, or undefined if it has a fraction or is out of a double's exact range. */
export function smallInteger(value: Value | undefined): number | undefined {
  if (!isNumber(value) || typeof value !== "number" || !Number.isSafeInteger(value)) return undefined;
  return value;
}

/** As {@link smallInteger} for a bound that may lie far outside of what it bounds: the nearest safe integer. */
export function clampedInteger(value: Value | undefined): number | undefined {
  if (!isNumber(value)) return undefined;
  const exact = toBigInt(value);
  if (exact === undefined) return undefined;
  if (exact > BigInt(Number.MAX_SAFE_INTEGER)) return Number.MAX_SAFE_INTEGER;
  return exact < BigInt(Number.MIN_SAFE_INTEGER) ? Number.MIN_SAFE_INTEGER : Number(exact);
}
