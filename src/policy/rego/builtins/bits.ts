/** Bitwise operations on integers of any size. Source: OPA policy reference, "Bitwise". */
import { builtin, fault } from "../builtin-registry.ts";
import { fromBigInt, toBigInt } from "../decimal.ts";
import { isNumber, type Value } from "../values.ts";

/** Most places to shift by: bounds the size of the result. */
const MAX_SHIFT = 16_384n;

function integer(name: string, args: readonly Value[], index: number): bigint {
  const value = args[index];
  const found = isNumber(value) ? toBigInt(value) : undefined;
  if (found === undefined)
    throw fault(name, `operand ${index + 1} must be integer number but got floating-point number`);
  return found;
}

function onIntegers(name: string, compute: (a: bigint, b: bigint) => bigint) {
  return builtin(name, "n,n", (args) => fromBigInt(compute(integer(name, args, 0), integer(name, args, 1))));
}

function shift(name: string, places: bigint): bigint {
  if (places < 0n) throw fault(name, "operand 2 must be an unsigned integer");
  if (places > MAX_SHIFT) throw fault(name, `operand 2 must be at most ${MAX_SHIFT}`);
  return places;
}

export const BITS = [
  onIntegers("bits.and", (a, b) => a & b),
  onIntegers("bits.or", (a, b) => a | b),
  onIntegers("bits.xor", (a, b) => a ^ b),
  onIntegers("bits.lsh", (a, b) => a << shift("bits.lsh", b)),
  onIntegers("bits.rsh", (a, b) => a >> shift("bits.rsh", b)),
  builtin("bits.negate", "n", (args) => fromBigInt(~integer("bits.negate", args, 0))),
];
