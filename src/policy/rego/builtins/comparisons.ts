/** Operators on values of any type, and the builtins that the compiler treats specially. */
import { builtin } from "../builtin-registry.ts";
import { compareValues, equalValues, isArray, RegoObject, RegoSet, type Value } from "../values.ts";

function isMember(value: Value, collection: Value): boolean {
  if (collection instanceof RegoSet) return collection.has(value);
  if (isArray(collection)) return collection.some((item) => equalValues(item, value));
  if (!(collection instanceof RegoObject)) return false;
  for (const [, field] of collection.unorderedEntries()) if (equalValues(field, value)) return true;
  return false;
}

function hasField(key: Value, value: Value, collection: Value): boolean {
  if (collection instanceof RegoSet) return equalValues(key, value) && collection.has(value);
  let found: Value | undefined;
  if (isArray(collection)) found = typeof key === "number" ? collection[key] : undefined;
  else if (collection instanceof RegoObject) found = collection.get(key);
  return found !== undefined && equalValues(found, value);
}

export const COMPARISONS = [
  builtin("eq", "*,*", ([a, b]) => equalValues(a as Value, b as Value)),
  builtin("assign", "*,*", ([a, b]) => equalValues(a as Value, b as Value)),
  builtin("equal", "*,*", ([a, b]) => equalValues(a as Value, b as Value)),
  builtin("neq", "*,*", ([a, b]) => !equalValues(a as Value, b as Value)),
  builtin("lt", "*,*", ([a, b]) => compareValues(a as Value, b as Value) < 0),
  builtin("lte", "*,*", ([a, b]) => compareValues(a as Value, b as Value) <= 0),
  builtin("gt", "*,*", ([a, b]) => compareValues(a as Value, b as Value) > 0),
  builtin("gte", "*,*", ([a, b]) => compareValues(a as Value, b as Value) >= 0),
  builtin("internal.member_2", "*,*", ([value, collection], { run }) => {
    if (isArray(collection)) run.spend(collection.length);
    return isMember(value as Value, collection as Value);
  }),
  builtin("internal.member_3", "*,*,*", ([key, value, collection]) =>
    hasField(key as Value, value as Value, collection as Value),
  ),
  // Its calls become a goal of their own; this entry gives it a name and any number of operands.
  builtin("print", "", () => true),
];
