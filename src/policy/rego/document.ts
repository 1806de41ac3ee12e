/** Looking things up: members of values, and the tree below `data` where rules and base data meet. */
import type { Position } from "./ast.ts";
import type { Run } from "./evaluation.ts";
import { evaluationError } from "./fault.ts";
import { ruleValue } from "./rule-evaluation.ts";
import type { RuleNode } from "./rule-tree.ts";
import { compareValues, isArray, RegoObject, RegoSet, type Value } from "./values.ts";

/** The member of `value` at `key`: a field, an item, an element of a set itself. */
export function member(value: Value, key: Value): Value | undefined {
  if (value instanceof RegoObject) return value.get(key);
  if (isArray(value)) return typeof key === "number" ? value[key] : undefined;
  if (value instanceof RegoSet) return value.has(key) ? key : undefined;
  return undefined;
}

/** True if `with` put base data in the place of the node's rules. */
function isMasked(run: Run, node: RuleNode): boolean {
  const { masked } = run.scope;
  if (!masked) return false;
  for (let at: RuleNode | undefined = node; at; at = at.parent) if (masked.has(at)) return true;
  return false;
}

/** The base document at the node's path. */
function baseAt(run: Run, node: RuleNode): Value | undefined {
  let base: Value | undefined = run.scope.base;
  for (const key of node.path()) base = base === undefined ? undefined : member(base, key);
  return base;
}

/** What rules and base data together put at `node`. */
export function nodeValue(run: Run, node: RuleNode, base: Value | undefined): Value | undefined {
  if (run.scope.masked && isMasked(run, node)) return base;
  if (node.kind !== undefined) return ruleValue(run, node);
  const { memo } = run.scope;
  if (memo.has(node)) return memo.get(node);
  const merged = base instanceof RegoObject ? base.copy() : new RegoObject();
  run.charge(merged.size);
  for (const child of node.children.values()) {
    const below = merged.get(child.key);
    const value = nodeValue(run, child, below);
    // Where a whole document is asked for, base data goes before a rule of the same name.
    if (value !== undefined && (below === undefined || child.kind === undefined))
      merged.set(child.key, value);
  }
  memo.set(node, merged);
  return merged;
}

/** The value of a rule's node that the compiler found, base data only where `with` replaced it. */
export function fixedNodeValue(run: Run, node: RuleNode): Value | undefined {
  if (run.scope.masked) return nodeValue(run, node, baseAt(run, node));
  return node.kind === undefined ? nodeValue(run, node, baseAt(run, node)) : ruleValue(run, node);
}

/** A place below `data`: a node of the tree of rules, base data, or both. */
export interface Place {
  readonly node: RuleNode | undefined;
  readonly base: Value | undefined;
}

/** The place below `place`, or undefined if nothing is there. A rule's place has its value as base and no node. */
export function placeBelow(run: Run, place: Place, key: Value): Place | undefined {
  const base = place.base === undefined ? undefined : member(place.base, key);
  const node = place.node?.child(key);
  if (!node || (run.scope.masked && isMasked(run, node)))
    return base === undefined ? undefined : { node: undefined, base };
  if (node.kind === undefined) return { node, base };
  const value = ruleValue(run, node);
  return value === undefined ? undefined : { node: undefined, base: value };
}

/** The value at a place. */
export function placeValue(run: Run, place: Place): Value | undefined {
  return place.node ? nodeValue(run, place.node, place.base) : place.base;
}

/** The keys below a place in Rego's order. */
export function placeKeys(place: Place): readonly Value[] {
  const base = place.base === undefined ? [] : memberKeys(place.base);
  if (!place.node) return base;
  const keys = [...base];
  for (const child of place.node.children.values()) {
    if (place.base === undefined || member(place.base, child.key) === undefined) keys.push(child.key);
  }
  return keys.sort(compareValues);
}

/** The keys by which the members of a collection are found; none for scalars. */
export function memberKeys(value: Value): readonly Value[] {
  if (value instanceof RegoObject) return value.keys();
  if (value instanceof RegoSet) return value.values();
  return isArray(value) ? value.map((_, index) => index) : [];
}

/**
 * Puts `value` at `path` of an object under construction, making objects on the way.
 *
 * @throws KataError `policy-evaluation` if another value is there, or a value that is no object on the way.
 */
export function putAt(
  run: Run,
  object: RegoObject,
  path: readonly Value[],
  value: Value,
  at: Position,
): void {
  let into = object;
  const last = path.length - 1;
  for (let i = 0; i < last; i++) {
    const key = path[i] as Value;
    const next = into.get(key);
    if (next instanceof RegoObject) {
      into = next;
    } else if (next === undefined) {
      const made = new RegoObject();
      run.charge(1);
      into.set(key, made);
      into = made;
    } else {
      throw objectConflict(at);
    }
  }
  const key = path[last] as Value;
  const known = into.get(key);
  if (known === undefined) {
    run.charge(2);
    into.set(key, value);
  } else if (compareValues(known, value) !== 0) {
    throw objectConflict(at);
  }
}

function objectConflict(at: Position): Error {
  return evaluationError(at, "object keys must be unique: two rules give one key different values");
}
