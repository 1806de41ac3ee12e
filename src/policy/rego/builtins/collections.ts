/** Arrays and sets. Source: OPA policy reference, "Arrays", "Sets". */
import { builtin, clampedInteger, fault, membersOf } from "../builtin-registry.ts";
import type { Run } from "../evaluation.ts";
import { isArray, RegoSet, type Value } from "../values.ts";

function set(value: Value | undefined): RegoSet {
  if (value instanceof RegoSet) return value;
  throw fault("set operation", "a set was expected");
}

function array(value: Value | undefined): readonly Value[] {
  if (isArray(value)) return value;
  throw fault("array operation", "an array was expected");
}

function intersect(a: RegoSet, b: RegoSet, run: Run): RegoSet {
  const [small, large] = a.size < b.size ? [a, b] : [b, a];
  run.spend(small.size);
  return RegoSet.of([...small.unordered()].filter((item) => large.has(item)));
}

function unite(sets: readonly RegoSet[], run: Run): RegoSet {
  const result = new RegoSet();
  for (const one of sets) {
    run.charge(one.size);
    for (const item of one.unordered()) result.add(item);
  }
  return result;
}

/** One level of nesting is taken away. */
function flatten(items: readonly Value[]): Value[] {
  return items.flatMap((item) => (isArray(item) ? item : [item]));
}

export const COLLECTIONS = [
  builtin("array.concat", "a,a", ([a, b], { run }) => {
    run.charge(array(a).length + array(b).length);
    return [...array(a), ...array(b)];
  }),
  builtin("array.reverse", "a", ([value]) => [...array(value)].reverse()),
  builtin("array.flatten", "a", ([value]) => flatten(array(value))),
  builtin("array.slice", "a,n,n", ([value, from, to]) => {
    const start = clampedInteger(from);
    const stop = clampedInteger(to);
    if (start === undefined || stop === undefined) return undefined;
    return array(value).slice(Math.max(0, start), Math.max(0, stop));
  }),
  builtin("and", "S,S", ([a, b], { run }) => intersect(set(a), set(b), run)),
  builtin("or", "S,S", ([a, b], { run }) => unite([set(a), set(b)], run)),
  builtin("set_diff", "S,S", ([a, b]) =>
    RegoSet.of([...set(a).unordered()].filter((item) => !set(b).has(item))),
  ),
  builtin("intersection", "S", ([sets], { run }) => {
    const [first, ...others] = membersOf("intersection", 0, sets).map(set);
    return first ? others.reduce((result, other) => intersect(result, other, run), first) : new RegoSet();
  }),
  builtin("union", "S", ([sets], { run }) => unite(membersOf("union", 0, sets).map(set), run)),
];
