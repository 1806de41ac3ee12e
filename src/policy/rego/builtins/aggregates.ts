/** Builtins over whole collections. Source: OPA policy reference, "Aggregates". */
import { builtin, fault, membersOf } from "../builtin-registry.ts";
import { add, multiply, type RegoNumber } from "../decimal.ts";
import { compareValues, isArray, isNumber, RegoObject, RegoSet, type Value } from "../values.ts";
import { countCodePoints } from "./code-points.ts";

function fold(
  name: string,
  value: Value | undefined,
  start: RegoNumber,
  step: (a: RegoNumber, b: RegoNumber) => RegoNumber,
): Value {
  return membersOf(name, 0, value).reduce<RegoNumber>((result, item) => {
    if (!isNumber(item)) throw fault(name, "operand 1 must be a collection of numbers");
    return step(result, item);
  }, start);
}

function extreme(name: string, value: Value | undefined, sign: number): Value | undefined {
  let best: Value | undefined;
  for (const item of membersOf(name, 0, value))
    if (best === undefined || compareValues(item, best) * sign > 0) best = item;
  return best;
}

export const AGGREGATES = [
  builtin("count", "saoS", ([value]) => {
    if (typeof value === "string") return countCodePoints(value);
    if (value instanceof RegoObject || value instanceof RegoSet) return value.size;
    return isArray(value) ? value.length : undefined;
  }),
  builtin("sum", "aS", ([value]) => fold("sum", value, 0, add)),
  builtin("product", "aS", ([value]) => fold("product", value, 1, multiply)),
  builtin("max", "aS", ([value]) => extreme("max", value, 1)),
  builtin("min", "aS", ([value]) => extreme("min", value, -1)),
  builtin("sort", "aS", ([value], { run }) => {
    const items = [...membersOf("sort", 0, value)];
    run.spend(items.length);
    return items.sort(compareValues);
  }),
  builtin("all", "aS", ([value]) => membersOf("all", 0, value).every((item) => item === true)),
  builtin("any", "aS", ([value]) => membersOf("any", 0, value).some((item) => item === true)),
];
