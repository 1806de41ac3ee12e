/** `with`: the goals inside see another input, other data or other functions; what follows sees the old ones again. */
import { compileBody } from "./compile-bodies.ts";
import { type CodeContext, compileTerm } from "./compile-terms.ts";
import type { Evaluate, Step } from "./compiled-rule.ts";
import type { Frame, Scope } from "./evaluation.ts";
import type { CallTarget, Goal, Replacement } from "./ir.ts";
import type { RuleNode } from "./rule-tree.ts";
import { RegoObject, type Value } from "./values.ts";

type Change = (frame: Frame, scope: Scope) => Scope | undefined;

export function compileWith(goal: Extract<Goal, { kind: "with" }>, context: CodeContext, next: Step): Step {
  const changes = goal.replacements.map((replacement) => compileReplacement(replacement, context));
  const index = context.allocate();
  const body = compileBody(goal.goals, context, () => (frame) => {
    const { run } = frame;
    const inner = run.scope;
    run.scope = (frame.scopes as Scope[])[index] as Scope;
    const stop = next(frame);
    run.scope = inner;
    return stop;
  });
  return (frame) => {
    const { run } = frame;
    const outer = run.scope;
    let scope: Scope | undefined = { ...outer, memo: new Map() };
    for (const change of changes) {
      scope = change(frame, scope);
      if (!scope) return false;
    }
    frame.scopes ??= [];
    frame.scopes[index] = outer;
    run.scope = scope;
    const stop = body(frame);
    run.scope = outer;
    return stop;
  };
}

function compileReplacement(replacement: Replacement, context: CodeContext): Change {
  if (replacement.kind === "function") return compileMock(replacement.target, replacement.by, context);
  const term = compileTerm(replacement.value, context);
  const { path } = replacement;
  if (replacement.kind === "input") {
    return (frame, scope) => {
      const value = term(frame);
      return value === undefined ? undefined : { ...scope, input: replaceAt(scope.input, path, value) };
    };
  }
  const node = nodeAt(context.root, path);
  return (frame, scope) => {
    const value = term(frame);
    if (value === undefined) return undefined;
    const masked = new Set(scope.masked);
    if (node) masked.add(node);
    return { ...scope, base: replaceAt(scope.base, path, value), masked };
  };
}

function compileMock(
  target: CallTarget,
  by: Extract<Replacement, { kind: "function" }>["by"],
  context: CodeContext,
): Change {
  const key = target.kind === "builtin" ? target.builtin : target.node;
  const isFunction = by.kind === "builtin" || by.kind === "function";
  const value: Evaluate | undefined = isFunction ? undefined : compileTerm(by, context);
  return (frame, scope) => {
    const mock = isFunction ? by : value?.(frame);
    if (mock === undefined) return undefined;
    return { ...scope, mocks: new Map(scope.mocks).set(key, mock) };
  };
}

function nodeAt(root: RuleNode, path: readonly Value[]): RuleNode | undefined {
  let node: RuleNode | undefined = root;
  for (const key of path) node = node?.child(key);
  return node;
}

/** A copy of `document` with `value` at `path`; what is no object on the way becomes one. */
export function replaceAt(document: Value | undefined, path: readonly Value[], value: Value): Value {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const copy = document instanceof RegoObject ? document.copy() : new RegoObject();
  copy.set(key, replaceAt(copy.get(key), rest, value));
  return copy;
}
