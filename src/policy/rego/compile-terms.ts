/** Terms that have at most one value, as closures over a frame. */
import { callBuiltin, callTarget } from "./builtin-call.ts";
import type { Builtin } from "./builtin-registry.ts";
import { compileBody } from "./compile-bodies.ts";
import type { Evaluate } from "./compiled-rule.ts";
import { type CallWith, directCall } from "./direct-calls.ts";
import { fixedNodeValue, member, type Place, placeBelow, placeValue } from "./document.ts";
import type { Frame } from "./evaluation.ts";
import { compileError, evaluationError } from "./fault.ts";
import type { Ir, IrCall, IrComprehension, IrRef, Variable } from "./ir.ts";
import { formatRego } from "./json.ts";
import type { RuleNode } from "./rule-tree.ts";
import { compareValues, equalValues, RegoObject, RegoSet, type Value } from "./values.ts";

/** What code generation knows at one point of a body. */
export interface CodeContext {
  readonly root: RuleNode;
  /** Variables that have a value. */
  readonly bound: ReadonlySet<Variable>;
  /** Closures around the body. */
  readonly depth: number;
  /** Slots of references that an iteration went through before. */
  readonly iterated: ReadonlyMap<Ir, number>;
  /** A slot of the rule's frame for its own use. */
  readonly allocate: () => number;
}

/** The value of `term`; every variable in it is bound, every reference with iterations is in `context.iterated`. */
export function compileTerm(term: Ir, context: CodeContext): Evaluate {
  switch (term.kind) {
    case "constant": {
      const { value } = term;
      return () => value;
    }
    case "variable": {
      const { slot, name } = term.variable;
      if (!context.bound.has(term.variable)) {
        throw compileError(term.at, `var ${name.startsWith("$") ? "_" : name} is unsafe`);
      }
      return (frame) => frame.slots[slot];
    }
    case "input":
      return (frame) => frame.run.scope.input;
    case "data": {
      const { root } = context;
      return (frame) => placeValue(frame.run, { node: root, base: frame.run.scope.base });
    }
    case "ref":
      return compileRef(term, context);
    case "call":
      return compileCall(term, context);
    case "array": {
      const items = term.items.map((item) => compileTerm(item, context));
      return (frame) => evaluateAll(frame, items);
    }
    case "set": {
      const items = term.items.map((item) => compileTerm(item, context));
      return (frame) => {
        const values = evaluateAll(frame, items);
        return values && RegoSet.of(values);
      };
    }
    case "object":
      return compileObject(term, context);
    case "comprehension":
      return compileComprehension(term, context);
    case "template": {
      const parts = term.parts.map((part) => compileTerm(part, context));
      return (frame) => {
        let text = "";
        for (const part of parts) text += templateText(part(frame));
        frame.run.charge(text.length >> 4);
        return text;
      };
    }
  }
}

/** What an interpolated expression, gathered in a set, adds to the string. */
function templateText(part: Value | undefined): string {
  if (!(part instanceof RegoSet)) return typeof part === "string" ? part : "";
  const [value] = part.values();
  if (value === undefined) return "<undefined>";
  return typeof value === "string" ? value : formatRego(value);
}

/** The values of all terms, or undefined if one has none. */
export function evaluateAll(frame: Frame, terms: readonly Evaluate[]): Value[] | undefined {
  const values = new Array<Value>(terms.length);
  for (let i = 0; i < terms.length; i++) {
    const value = (terms[i] as Evaluate)(frame);
    if (value === undefined) return undefined;
    values[i] = value;
  }
  frame.run.charge(terms.length);
  return values;
}

function compileObject(term: Extract<Ir, { kind: "object" }>, context: CodeContext): Evaluate {
  const fields = term.fields.map(
    ([key, value]) => [compileTerm(key, context), compileTerm(value, context)] as const,
  );
  return (frame) => {
    const object = new RegoObject();
    for (const [keyTerm, valueTerm] of fields) {
      const key = keyTerm(frame);
      const value = valueTerm(frame);
      if (key === undefined || value === undefined) return undefined;
      object.set(key, value);
    }
    frame.run.charge(fields.length);
    return object;
  };
}

function compileRef(term: IrRef, context: CodeContext): Evaluate {
  const slot = context.iterated.get(term);
  if (slot !== undefined) return (frame) => frame.slots[slot];
  if (term.head.kind === "data") return compileDataRef(term, context);
  const head = compileTerm(term.head, context);
  return compilePath(head, term.path, context);
}

/** `head` and then the members named by `path`. */
function compilePath(head: Evaluate, path: readonly Ir[], context: CodeContext): Evaluate {
  let from = head;
  for (let at = 0; at < path.length; ) {
    const keys = constantsFrom(path, at);
    const step = path[at];
    if (keys.length > 0) from = fixedPath(from, keys);
    else if (step) from = computedStep(from, compileTerm(step, context));
    at += Math.max(1, keys.length);
  }
  return from;
}

/** The constant steps of `path` from `at` up to the first other one. */
function constantsFrom(path: readonly Ir[], at: number): Value[] {
  const keys: Value[] = [];
  for (let step = path[at]; step?.kind === "constant"; step = path[at + keys.length]) keys.push(step.value);
  return keys;
}

/** Several steps in one closure: a closure a step costs a policy decision some twentieth more. */
function fixedPath(from: Evaluate, keys: readonly Value[]): Evaluate {
  const [first, second] = keys;
  if (first === undefined) return from;
  if (second === undefined) {
    return (frame) => {
      const value = from(frame);
      return value === undefined ? undefined : member(value, first);
    };
  }
  return (frame) => {
    let value = from(frame);
    for (let i = 0; i < keys.length && value !== undefined; i++) value = member(value, keys[i] as Value);
    return value;
  };
}

function computedStep(from: Evaluate, keyTerm: Evaluate): Evaluate {
  return (frame) => {
    const value = from(frame);
    if (value === undefined) return undefined;
    const key = keyTerm(frame);
    return key === undefined ? undefined : member(value, key);
  };
}

/** The rule that the constant steps of a path lead to, with the number of steps; undefined if they reach none. */
export function fixedRule(
  root: RuleNode,
  path: readonly Ir[],
): { readonly node: RuleNode; readonly steps: number } | undefined {
  let node: RuleNode | undefined = root;
  for (let steps = 0; ; steps++) {
    if (node.kind !== undefined) return { node, steps };
    const step: Ir | undefined = path[steps];
    if (step?.kind !== "constant") return undefined;
    node = node.child(step.value);
    if (!node) return undefined;
  }
}

function compileDataRef(term: IrRef, context: CodeContext): Evaluate {
  const fixed = fixedRule(context.root, term.path);
  if (fixed) {
    const { node, steps } = fixed;
    return compilePath((frame) => fixedNodeValue(frame.run, node), term.path.slice(steps), context);
  }
  const path = term.path.map((step) => compileTerm(step, context));
  const { root } = context;
  return (frame) => {
    const { run } = frame;
    let place: Place | undefined = { node: root, base: run.scope.base };
    for (const step of path) {
      const key = step(frame);
      if (key === undefined) return undefined;
      place = placeBelow(run, place, key);
      if (!place) return undefined;
    }
    return placeValue(run, place);
  };
}

/** Operators on any two values, done without the detour of a builtin's call. */
const COMPARISONS: Readonly<Record<string, (a: Value, b: Value) => boolean>> = {
  equal: equalValues,
  neq: (a, b) => !equalValues(a, b),
  lt: (a, b) => compareValues(a, b) < 0,
  lte: (a, b) => compareValues(a, b) <= 0,
  gt: (a, b) => compareValues(a, b) > 0,
  gte: (a, b) => compareValues(a, b) >= 0,
};

function compileCall(term: IrCall, context: CodeContext): Evaluate {
  const args = term.args.map((arg) => compileTerm(arg, context));
  const { target, at } = term;
  const [first, second] = args;
  if (target.kind === "builtin") {
    const { builtin } = target;
    const compare = COMPARISONS[builtin.name];
    if (compare && first && second) {
      return (frame) => {
        const a = first(frame);
        if (a === undefined) return undefined;
        const b = second(frame);
        return b === undefined ? undefined : compare(a, b);
      };
    }
    return compileBuiltinCall(builtin, args, term);
  }
  return (frame) => {
    const values = evaluateAll(frame, args);
    return values && callTarget(frame.run, target, values, at);
  };
}

function compileBuiltinCall(builtin: Builtin, args: readonly Evaluate[], term: IrCall): Evaluate {
  const { at, target } = term;
  const common: CallWith = ({ run }, values) =>
    run.scope.mocks ? callTarget(run, target, values, at) : callBuiltin(run, builtin, values, at);
  const general: Evaluate = (frame) => {
    const values = evaluateAll(frame, args);
    return values && common(frame, values);
  };
  const direct = directCall(builtin.name, args, common);
  return direct ? (frame) => (frame.run.scope.mocks ? general(frame) : direct(frame)) : general;
}

function compileComprehension(term: IrComprehension, context: CodeContext): Evaluate {
  const slot = context.allocate();
  const { at } = term;
  const step = compileBody(term.goals, { ...context, depth: term.depth }, (after) => {
    const head = compileTerm(term.head, after);
    const key = term.key && compileTerm(term.key, after);
    return (frame) => {
      const value = head(frame);
      const keyValue = key?.(frame);
      if (value === undefined || (key && keyValue === undefined)) return false;
      frame.run.charge(1);
      gather(frame.slots[slot] as Value, keyValue, value, at);
      return false;
    };
  });
  return (frame) => {
    const result: Value = term.of === "array" ? [] : term.of === "set" ? new RegoSet() : new RegoObject();
    const outer = frame.slots[slot];
    frame.slots[slot] = result;
    step(frame);
    frame.slots[slot] = outer;
    return result;
  };
}

function gather(into: Value, key: Value | undefined, value: Value, at: IrComprehension["at"]): void {
  if (into instanceof RegoSet) {
    into.add(value);
  } else if (into instanceof RegoObject) {
    if (key === undefined) return;
    const known = into.get(key);
    if (known !== undefined && !equalValues(known, value))
      throw evaluationError(at, "object keys must be unique");
    into.set(key, value);
  } else if (Array.isArray(into)) {
    into.push(value);
  }
}
