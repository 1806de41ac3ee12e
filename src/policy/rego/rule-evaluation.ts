/** The values of rules and the results of functions. */
import type { CompiledRule } from "./compiled-rule.ts";
import { member, memberKeys, nodeValue, putAt } from "./document.ts";
import { Frame, type Run, Sink } from "./evaluation.ts";
import type { RuleNode } from "./rule-tree.ts";
import { keyOf, RegoObject, RegoSet, type Value } from "./values.ts";

const NO_ARGUMENTS: readonly Value[] = [];

/** What the rules at `node` define, computed once for a scope; undefined for functions and where no rule applies. */
export function ruleValue(run: Run, node: RuleNode): Value | undefined {
  const { memo } = run.scope;
  const known = memo.get(node);
  if (known !== undefined || memo.has(node)) return known;
  run.enter();
  const value = computeRule(run, node);
  run.leave();
  memo.set(node, value);
  return value;
}

function computeRule(run: Run, node: RuleNode): Value | undefined {
  switch (node.kind) {
    case "complete":
      return solve(run, node, NO_ARGUMENTS);
    case "set": {
      const set = new RegoSet();
      applyAll(run, node, set);
      return set;
    }
    case "partial":
      return computePartial(run, node);
    default:
      return undefined;
  }
}

/** The object that rules with variables in their names make, with the rules of fixed names below put in. */
function computePartial(run: Run, node: RuleNode): RegoObject {
  const object = new RegoObject();
  for (const child of node.children.values()) {
    const value = nodeValue(run, child, undefined);
    if (value === undefined) continue;
    // Its objects are extended below, so they are copied.
    for (const [path, leaf] of leaves([child.key], value, child))
      putAt(run, object, path, leaf, child.at ?? node.at ?? NOWHERE);
  }
  applyAll(run, node, object);
  return object;
}

const NOWHERE = { file: "", line: 0, column: 0 };

function* leaves(
  path: Value[],
  value: Value,
  node: RuleNode | undefined,
): IterableIterator<[Value[], Value]> {
  if (value instanceof RegoObject && node && (node.kind === undefined || node.kind === "partial")) {
    for (const key of memberKeys(value)) {
      const below = member(value, key);
      if (below !== undefined) yield* leaves([...path, key], below, node.child(key));
    }
  } else {
    yield [path, value instanceof RegoSet ? RegoSet.of(value.unordered()) : value];
  }
}

function applyAll(run: Run, node: RuleNode, into: Value): void {
  const sink = new Sink(into);
  for (const rule of candidates(run, node, NO_ARGUMENTS)) runRule(run, rule, NO_ARGUMENTS, sink);
}

/** The result of a function, or undefined if no definition gives one. */
export function callFunction(run: Run, node: RuleNode, args: readonly Value[]): Value | undefined {
  run.enter();
  run.step();
  const value = solve(run, node, args);
  run.leave();
  return value;
}

function solve(run: Run, node: RuleNode, args: readonly Value[]): Value | undefined {
  const sink = new Sink();
  for (const rule of candidates(run, node, args)) {
    if (runRule(run, rule, args, sink) && node.firstDecides) break;
  }
  if (sink.value === undefined && node.fallback) runRule(run, node.fallback, args, sink);
  return sink.value;
}

/** Tries a rule and, if it has no solution, its `else` branches; true if the rule asks to stop. */
function runRule(run: Run, rule: CompiledRule, args: readonly Value[], sink: Sink): boolean {
  run.step();
  const frame = new Frame(run, rule.slots, sink);
  if (!rule.bind(frame, args)) return false;
  for (const branch of rule.branches) {
    frame.solved = false;
    if (branch(frame)) return true;
    if (frame.solved) return false;
  }
  return false;
}

/** The rules that the index cannot rule out, in their order. */
function candidates(run: Run, node: RuleNode, args: readonly Value[]): readonly CompiledRule[] {
  const { index } = node;
  if (!index) return node.rules;
  let value: Value | undefined;
  if ("argument" in index.on) {
    value = args[index.on.argument];
  } else {
    value = run.scope.input;
    for (const key of index.on.input) value = value === undefined ? undefined : member(value, key);
  }
  return (value === undefined ? undefined : index.byValue.get(keyOf(value))) ?? index.rest;
}
