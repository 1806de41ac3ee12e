/** Bodies to goals: assignments and equalities are taken apart, declarations vanish, `with` wraps what it changes. */
import type { Body, CallTerm, Literal, Position, Term, WithModifier } from "./ast.ts";
import { checkShared, sharedBefore } from "./closure-safety.ts";
import { compileError } from "./fault.ts";
import { type Goal, type Ir, type Replacement, replacementValues } from "./ir.ts";
import { arityOf, dottedPath, findFunction, wrongArity } from "./resolve-calls.ts";
import { Scope } from "./resolve-names.ts";
import { callTarget, makeCall, type ResolveContext, resolveTerm } from "./resolve-terms.ts";
import type { RuleNode } from "./rule-tree.ts";
import { takeOut } from "./take-out.ts";
import { isMismatch, splitUnification } from "./unification.ts";
import { isArray, type Value } from "./values.ts";

/** The goals of a body whose names `scope` has taken in already. */
export function resolveBody(body: Body, scope: Scope, context: ResolveContext): Goal[] {
  const goals: Goal[] = [];
  body.forEach((literal, index) => {
    scope.position = index;
    goals.push(...resolveLiteral(literal, scope, context));
  });
  scope.position = Number.POSITIVE_INFINITY;
  return goals;
}

function resolveLiteral(literal: Literal, scope: Scope, context: ResolveContext): Goal[] {
  const { at } = literal;
  let goals = resolveForm(literal, scope, context);
  if (literal.negated) goals = negate(literal, goals, scope);
  if (literal.modifiers.length === 0) return goals;
  const replacements = literal.modifiers.map((modifier) => resolveModifier(modifier, scope, context));
  const before = sharedBefore(replacements.flatMap(replacementValues), scope.depth);
  return [{ kind: "with", goals, replacements, before, at }];
}

/** What has to be computed for a negated expression is computed before it, as in OPA; a body is negated as a whole. */
function negate(literal: Literal, goals: readonly Goal[], scope: Scope): Goal[] {
  const { at } = literal;
  if (literal.kind === "logic") return [{ kind: "not", goals, at }];
  const { before, inside } = takeOut(goals, scope);
  return [...before, { kind: "not", goals: inside, at }];
}

/** Each operand is a body that need be met once only: `a and b` as "not not a, not not b", `a or b` as "not (not a, not b)". */
function resolveLogic(
  literal: Extract<Literal, { kind: "logic" }>,
  outer: Scope,
  context: ResolveContext,
): Goal[] {
  const { at } = literal;
  const failures = literal.operands.map((body): Goal => {
    const scope = new Scope(context.names, outer);
    scope.prepare(body, []);
    return { kind: "not", goals: resolveBody(body, scope, context), depth: scope.depth, at };
  });
  if (literal.operator === "or") return [{ kind: "not", goals: failures, at }];
  return failures.map((failure) => ({ kind: "not", goals: [failure], at }));
}

function resolveForm(literal: Literal, scope: Scope, context: ResolveContext): Goal[] {
  const { at } = literal;
  switch (literal.kind) {
    case "some":
      return [];
    case "some-in": {
      const collection = beforeDeclaring(scope, () => resolveTerm(literal.collection, scope, context));
      const value = resolveTerm(literal.value, scope, context);
      const key: Ir = literal.key
        ? resolveTerm(literal.key, scope, context)
        : { kind: "variable", variable: scope.fresh(at), at };
      checkMembers(value, collection, at);
      const before = sharedBefore([value, key, collection], scope.depth);
      const right: Ir = { kind: "ref", head: collection, path: [key], at };
      return [{ kind: "unify", left: value, right, before, at }];
    }
    case "every":
      return [resolveEvery(literal, scope, context)];
    case "logic":
      return resolveLogic(literal, scope, context);
    case "term":
      return literal.term.kind === "call"
        ? resolveCallGoal(literal.term, literal.negated, scope, context)
        : [testGoal(resolveTerm(literal.term, scope, context), literal, scope)];
  }
}

/** A goal that a term holds. A negated expression gives no variable a value, so what it needs is known anyway. */
function testGoal(
  term: Ir,
  { negated, at }: { readonly negated: boolean; readonly at: Position },
  scope: Scope,
): Goal {
  if (negated) return { kind: "test", term, at };
  const operands = term.kind === "call" ? term.args : [term];
  checkShared(operands, undefined, scope.depth, at);
  return { kind: "test", term, before: sharedBefore(operands, scope.depth), at };
}

function resolveEvery(
  literal: Extract<Literal, { kind: "every" }>,
  outer: Scope,
  context: ResolveContext,
): Goal {
  const { at } = literal;
  const collection = resolveTerm(literal.collection, outer, context);
  const scope = new Scope(context.names, outer);
  const key = literal.key ? scope.declare(literal.key.name, literal.key.at, undefined) : scope.fresh(at);
  const value = scope.declare(literal.value.name, literal.value.at, undefined);
  scope.prepare(literal.body, []);
  const goals = resolveBody(literal.body, scope, context);
  const before = sharedBefore([collection], outer.depth);
  return { kind: "every", key, value, collection, goals, depth: scope.depth, before, at };
}

function resolveCallGoal(term: CallTerm, negated: boolean, scope: Scope, context: ResolveContext): Goal[] {
  const { at } = term;
  const target = callTarget(term, context);
  const name = target.kind === "builtin" ? target.builtin.name : "";
  if (name === "eq" || name === "assign") {
    const [left, right] = term.args;
    if (!left || !right) throw wrongArity(term, target, at);
    if (name === "assign") checkAssignable(left);
    const value =
      name === "assign"
        ? beforeDeclaring(scope, () => resolveTerm(right, scope, context))
        : resolveTerm(right, scope, context);
    const pattern = resolveTerm(left, scope, context);
    return withBefore(splitUnification(pattern, value, at), [pattern, value], scope);
  }
  const args = term.args.map((arg) => resolveTerm(arg, scope, context));
  if (name === "print") return [{ kind: "print", args, at }];
  const arity = arityOf(target);
  const output = args[arity];
  if (args.length === arity)
    return [testGoal(makeCall(target, args, at, scope, context), { negated, at }, scope)];
  if (args.length !== arity + 1 || !output) throw wrongArity(term, target, at);
  const operands = args.slice(0, arity);
  if (!negated) checkShared(operands, output, scope.depth, at);
  const call = makeCall(target, operands, at, scope, context);
  const goals = splitUnification(output, call, at).map((goal) =>
    goal.kind === "unify" && goal.right.kind === "call" ? { ...goal, isCall: true } : goal,
  );
  return withBefore(goals, args, scope);
}

function withBefore(goals: readonly Goal[], operands: readonly Ir[], scope: Scope): Goal[] {
  const before = sharedBefore(operands, scope.depth);
  return goals.map((goal) => (before && goal.kind === "unify" ? { ...goal, before } : goal));
}

/** Resolves what stands on the far side of a declaration: the declared names do not exist there yet. */
function beforeDeclaring<T>(scope: Scope, resolve: () => T): T {
  scope.position -= 0.5;
  const result = resolve();
  scope.position += 0.5;
  return result;
}

function checkAssignable(left: Term): void {
  if (left.kind !== "variable" && left.kind !== "array" && left.kind !== "object") {
    throw compileError(
      left.at,
      `cannot assign to ${left.kind === "scalar" ? "a constant" : `a ${left.kind}`}`,
    );
  }
}

/** Refuses a pattern that no member of a literal collection fits, and members of what is no collection. */
function checkMembers(pattern: Ir, collection: Ir, at: Position): void {
  if (collection.kind === "constant") {
    const { value } = collection;
    if (value === null || typeof value !== "object")
      throw compileError(at, "'some … in' ranges over an array, an object or a set");
    if (isArray(value) && value.length > 0) {
      const fits = value.some((item) => !isMismatch(pattern, { kind: "constant", value: item, at }));
      if (!fits) throw compileError(at, "match error: no member of the collection fits the pattern");
    }
  } else if (collection.kind === "array") {
    if (collection.items.every((item) => isMismatch(pattern, item))) {
      throw compileError(at, "match error: no member of the collection fits the pattern");
    }
  }
}

function resolveModifier(modifier: WithModifier, scope: Scope, context: ResolveContext): Replacement {
  const { at, target } = modifier;
  const replaced =
    target.kind === "variable" || target.kind === "ref" ? findFunction(target, false, context) : undefined;
  if (replaced) {
    const { value } = modifier;
    const named = value.kind === "variable" || value.kind === "ref";
    const by =
      named && !(value.kind === "variable" && scope.find(value.name, value.at))
        ? findFunction(value, false, context)
        : undefined;
    if (!by) return { kind: "function", target: replaced, by: resolveTerm(modifier.value, scope, context) };
    if (arityOf(by) !== arityOf(replaced))
      throw compileError(at, "the replacement of a function has the same arity");
    if (by.kind === "function") context.dependOnFunction(by.node, at);
    return { kind: "function", target: replaced, by };
  }
  const { root, path } = targetPath(target, at, context);
  return { kind: root, path, value: resolveTerm(modifier.value, scope, context) };
}

function targetPath(
  target: Term,
  at: Position,
  context: ResolveContext,
): { root: "input" | "data"; path: readonly Value[] } {
  const [head = "", ...rest] = dottedPath(target) ?? [];
  const imported = context.names.imports.get(head);
  const [root, ...path] = imported ? [...imported, ...rest] : [head, ...rest];
  if (root !== "input" && root !== "data") {
    throw compileError(at, "with keyword target must reference existing input, data, or a function");
  }
  if (root === "data") {
    let node: RuleNode | undefined = context.root;
    for (const key of path) {
      if (node?.kind !== undefined)
        throw compileError(at, "with keyword cannot partially replace virtual document(s)");
      node = node?.child(key);
    }
  }
  return { root, path };
}
