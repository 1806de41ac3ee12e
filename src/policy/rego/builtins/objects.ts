/** Objects. Source: OPA policy reference, "Object". */
import { builtin, fault, membersOf, objectOf } from "../builtin-registry.ts";
import { member } from "../document.ts";
import type { Run } from "../evaluation.ts";
import { equalValues, isArray, RegoObject, RegoSet, type Value } from "../values.ts";

/** The keys in an operand that lists them: an array, a set, or the keys of an object. */
function keysOf(name: string, value: Value | undefined): readonly Value[] {
  return value instanceof RegoObject ? value.keys() : membersOf(name, 1, value);
}

function unite(a: RegoObject, b: RegoObject, run: Run): RegoObject {
  const result = a.copy();
  run.charge(a.size + b.size);
  for (const [key, value] of b.unorderedEntries()) {
    const known = result.get(key);
    const both = known instanceof RegoObject && value instanceof RegoObject;
    result.set(key, both ? unite(known, value, run) : value);
  }
  return result;
}

function isSubset(whole: Value, part: Value, run: Run): boolean {
  run.step();
  if (whole instanceof RegoObject && part instanceof RegoObject) {
    for (const [key, value] of part.unorderedEntries()) {
      const other = whole.get(key);
      if (other === undefined) return false;
      const nested =
        typeof value === "object" && value !== null && typeof other === "object" && other !== null;
      if (!(nested ? isSubset(other, value, run) : equalValues(other, value))) return false;
    }
    return true;
  }
  if (whole instanceof RegoSet && part instanceof RegoSet)
    return [...part.unordered()].every((item) => whole.has(item));
  if (isArray(whole) && part instanceof RegoSet) {
    const members = RegoSet.of(whole);
    return [...part.unordered()].every((item) => members.has(item));
  }
  if (isArray(whole) && isArray(part)) return containsRun(whole, part, run);
  return equalValues(whole, part);
}

/** True if `part` stands in `whole` without gaps. */
function containsRun(whole: readonly Value[], part: readonly Value[], run: Run): boolean {
  for (let at = 0; at + part.length <= whole.length; at++) {
    run.spend(part.length);
    if (part.every((item, i) => equalValues(whole[at + i] as Value, item))) return true;
  }
  return false;
}

function get(object: RegoObject, key: Value, fallback: Value): Value {
  if (!isArray(key)) return object.get(key) ?? withNull(object, key, fallback);
  let found: Value | undefined = object;
  for (const step of key) found = found === undefined ? undefined : member(found, step);
  return found === undefined ? fallback : found;
}

/** A field that is null is there all the same. */
function withNull(object: RegoObject, key: Value, fallback: Value): Value {
  return object.has(key) ? null : fallback;
}

export const OBJECTS = [
  builtin("object.get", "o,*,*", ([object, key, fallback]) =>
    get(objectOf("object.get", object), key as Value, fallback as Value),
  ),
  builtin("object.keys", "o", ([object]) => RegoSet.of(objectOf("object.keys", object).keys())),
  builtin("object.remove", "o,aoS", ([object, keys]) => {
    const removed = RegoSet.of(keysOf("object.remove", keys));
    return RegoObject.of(
      [...objectOf("object.remove", object).unorderedEntries()].filter(([key]) => !removed.has(key)),
    );
  }),
  builtin("object.filter", "o,aoS", ([object, keys]) => {
    const kept = RegoSet.of(keysOf("object.filter", keys));
    return RegoObject.of(
      [...objectOf("object.filter", object).unorderedEntries()].filter(([key]) => kept.has(key)),
    );
  }),
  builtin("object.union", "o,o", ([a, b], { run }) =>
    unite(objectOf("object.union", a), objectOf("object.union", b), run),
  ),
  builtin("object.union_n", "a", ([objects], { run }) =>
    membersOf("object.union_n", 0, objects).reduce<RegoObject>((result, one) => {
      if (!(one instanceof RegoObject))
        throw fault("object.union_n", "operand 1 must be an array of objects");
      return unite(result, one, run);
    }, new RegoObject()),
  ),
  builtin("object.subset", "aoS,aoS", ([whole, part], { run }) => {
    const comparable =
      (whole instanceof RegoObject && part instanceof RegoObject) ||
      (whole instanceof RegoSet && part instanceof RegoSet) ||
      (isArray(whole) && (isArray(part) || part instanceof RegoSet));
    if (!comparable) throw fault("object.subset", "both operands must be objects, sets or arrays");
    return isSubset(whole as Value, part as Value, run);
  }),
];
