/** The index over a name's rules: which of them a value of `input` or of an argument leaves possible. */

import type { RuleAnalysis } from "./compile-rules.ts";
import type { CompiledRule } from "./compiled-rule.ts";
import type { Goal, Ir } from "./ir.ts";
import { formatRego } from "./json.ts";
import type { RuleIndex } from "./rule-tree.ts";
import { type Key, keyOf, type Value } from "./values.ts";

/** Fewer rules than this are tried one by one. */
const MIN_INDEXED_RULES = 3;

interface Guard {
  readonly on: RuleIndex["on"];
  readonly value: Value;
}

/** The index that tells the most rules apart, or undefined if none helps. */
export function indexRules(rules: readonly RuleAnalysis[]): RuleIndex | undefined {
  if (rules.length < MIN_INDEXED_RULES) return undefined;
  const guards = rules.map(guardsOf);
  const counts = new Map<string, { readonly on: RuleIndex["on"]; count: number }>();
  for (const list of guards) {
    for (const [name, { on }] of list) {
      const entry = counts.get(name) ?? { on, count: 0 };
      entry.count++;
      counts.set(name, entry);
    }
  }
  let best: { readonly name: string; readonly on: RuleIndex["on"]; readonly count: number } | undefined;
  for (const [name, { on, count }] of counts) if (!best || count > best.count) best = { name, on, count };
  if (!best || best.count < MIN_INDEXED_RULES) return undefined;
  return buildIndex(rules, guards, best.name, best.on);
}

function buildIndex(
  rules: readonly RuleAnalysis[],
  guards: readonly ReadonlyMap<string, Guard>[],
  name: string,
  on: RuleIndex["on"],
): RuleIndex {
  const keys = guards.map((list) => {
    const guard = list.get(name);
    return guard && { key: keyOf(guard.value) };
  });
  const byValue = new Map<Key, CompiledRule[]>();
  for (const entry of keys) if (entry) byValue.set(entry.key, []);
  const rest: CompiledRule[] = [];
  rules.forEach(({ rule }, i) => {
    const entry = keys[i];
    if (entry) {
      byValue.get(entry.key)?.push(rule);
      return;
    }
    rest.push(rule);
    for (const list of byValue.values()) list.push(rule);
  });
  return { on, byValue, rest };
}

function guardsOf({ goals, args }: RuleAnalysis): Map<string, Guard> {
  const guards = new Map<string, Guard>();
  if (!goals) return guards;
  const slots = new Map<number, number>();
  args.forEach((arg, argument) => {
    if (arg.kind === "constant") guards.set(`argument ${argument}`, { on: { argument }, value: arg.value });
    if (arg.kind === "variable") slots.set(arg.variable.slot, argument);
  });
  for (const goal of goals) {
    const sides = equationSides(goal);
    if (!sides) continue;
    for (const [subject, other] of [sides, [sides[1], sides[0]] as const]) {
      if (other.kind !== "constant") continue;
      const argument = subject.kind === "variable" ? slots.get(subject.variable.slot) : undefined;
      const input = inputPath(subject);
      if (argument !== undefined)
        guards.set(`argument ${argument}`, { on: { argument }, value: other.value });
      else if (input) guards.set(`input ${formatRego(input)}`, { on: { input }, value: other.value });
    }
  }
  return guards;
}

function equationSides(goal: Goal): readonly [Ir, Ir] | undefined {
  if (goal.kind === "unify") return [goal.left, goal.right];
  if (goal.kind !== "test" || goal.term.kind !== "call" || goal.term.target.kind !== "builtin")
    return undefined;
  const [left, right] = goal.term.args;
  return goal.term.target.builtin.name === "equal" && left && right ? [left, right] : undefined;
}

function inputPath(term: Ir): Value[] | undefined {
  if (term.kind !== "ref" || term.head.kind !== "input") return undefined;
  const path: Value[] = [];
  for (const step of term.path) {
    if (step.kind !== "constant") return undefined;
    path.push(step.value);
  }
  return path;
}
