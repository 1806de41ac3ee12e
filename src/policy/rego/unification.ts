/** Equations between terms, taken apart where both sides show their structure. */
import type { Position } from "./ast.ts";
import { compileError } from "./fault.ts";
import type { Goal, Ir } from "./ir.ts";
import { isArray, keyOf, RegoObject, typeName, type Value } from "./values.ts";

/**
 * The goals that `left = right` stands for: one for each pair of members if both sides are arrays or objects.
 *
 * @throws KataError `policy-compile` if the sides can never be equal, whatever the variables are.
 */
export function splitUnification(left: Ir, right: Ir, at: Position): Goal[] {
  if (isMismatch(left, right)) throw compileError(at, "match error: the two sides can never be equal");
  const goals: Goal[] = [];
  split(left, right, at, goals);
  return goals;
}

function split(left: Ir, right: Ir, at: Position, goals: Goal[]): void {
  const pairs = left.kind === "constant" && right.kind === "constant" ? undefined : memberPairs(left, right);
  if (pairs) for (const [a, b] of pairs) split(a, b, at, goals);
  else goals.push({ kind: "unify", left, right, at });
}

/** True if the shapes of the two terms rule out that they are equal. */
export function isMismatch(left: Ir, right: Ir): boolean {
  const a = shapeOf(left);
  const b = shapeOf(right);
  if (a === undefined || b === undefined) return false;
  if (a !== b) return true;
  if (a === "array") {
    const itemsA = arrayItems(left);
    const itemsB = arrayItems(right);
    if (!itemsA || !itemsB) return false;
    return itemsA.length !== itemsB.length || itemsA.some((item, i) => isMismatch(item, itemsB[i] as Ir));
  }
  if (a === "object") {
    const fieldsA = objectFields(left);
    const fieldsB = objectFields(right);
    if (!fieldsA || !fieldsB) return false;
    if (fieldsA.size !== fieldsB.size) return true;
    for (const [key, value] of fieldsA) {
      const other = fieldsB.get(key);
      if (!other || isMismatch(value, other)) return true;
    }
  }
  return false;
}

function memberPairs(left: Ir, right: Ir): [Ir, Ir][] | undefined {
  const itemsA = arrayItems(left);
  const itemsB = arrayItems(right);
  if (itemsA && itemsB) return itemsA.map((item, i) => [item, itemsB[i] as Ir]);
  const fieldsA = objectFields(left);
  const fieldsB = objectFields(right);
  if (!fieldsA || !fieldsB) return undefined;
  return [...fieldsA].map(([key, value]) => [value, fieldsB.get(key) as Ir]);
}

function shapeOf(term: Ir): string | undefined {
  switch (term.kind) {
    case "constant":
      return typeName(term.value);
    case "array":
    case "set":
    case "object":
      return term.kind;
    case "comprehension":
      return term.of;
    default:
      return undefined;
  }
}

function arrayItems(term: Ir): readonly Ir[] | undefined {
  if (term.kind === "array") return term.items;
  if (term.kind !== "constant" || !isArray(term.value)) return undefined;
  return term.value.map((value) => ({ kind: "constant", value, at: term.at }));
}

/** The fields by key, if every key is constant and none comes twice. */
function objectFields(term: Ir): Map<ReturnType<typeof keyOf>, Ir> | undefined {
  const fields = new Map<ReturnType<typeof keyOf>, Ir>();
  const add = (key: Value, value: Ir) => fields.set(keyOf(key), value);
  if (term.kind === "constant") {
    if (!(term.value instanceof RegoObject)) return undefined;
    for (const [key, value] of term.value.entries()) add(key, { kind: "constant", value, at: term.at });
    return fields;
  }
  if (term.kind !== "object") return undefined;
  for (const [key, value] of term.fields) {
    if (key.kind !== "constant") return undefined;
    add(key.value, value);
  }
  return fields.size === term.fields.length ? fields : undefined;
}
