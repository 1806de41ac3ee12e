/** From syntax to {@link Ir}: names become slots, rules and builtins; nested bodies become goals. */
import type { Body, CallTerm, ComprehensionTerm, Position, RefTerm, Term } from "./ast.ts";
import type { BuiltinTable } from "./builtin-registry.ts";
import { compileError } from "./fault.ts";
import type { CallTarget, Goal, Ir, IrCall } from "./ir.ts";
import { resolveBody } from "./resolve-bodies.ts";
import { arityOf, checkOperands, describeName, findFunction, wrongArity } from "./resolve-calls.ts";
import { type ModuleNames, Scope } from "./resolve-names.ts";
import type { RuleNode } from "./rule-tree.ts";
import { equalValues, RegoObject, RegoSet, type Value } from "./values.ts";

/** Where a term is resolved. */
export interface ResolveContext {
  readonly names: ModuleNames;
  readonly root: RuleNode;
  readonly builtins: BuiltinTable;
  /** Notes that the rule being resolved reads what `path` leads to; undefined steps are not constant. */
  readonly depend: (path: readonly (Value | undefined)[], at: Position) => void;
  readonly dependOnFunction: (node: RuleNode, at: Position) => void;
  /** `rego.metadata.rule()` and `.chain()` of the rule being resolved. */
  readonly metadata: { readonly rule: Value; readonly chain: Value };
}

export function resolveTerm(term: Term, scope: Scope, context: ResolveContext): Ir {
  switch (term.kind) {
    case "scalar":
      return { kind: "constant", value: term.value, at: term.at };
    case "variable":
      return resolveName(term.name, term.at, scope, context);
    case "ref":
      return resolveRef(term, scope, context);
    case "call":
      return resolveCall(term, scope, context);
    case "array": {
      const items = term.items.map((item) => resolveTerm(item, scope, context));
      const values = constants(items);
      return values
        ? { kind: "constant", value: values, at: term.at }
        : { kind: "array", items, at: term.at };
    }
    case "set": {
      const items = term.items.map((item) => resolveTerm(item, scope, context));
      const values = constants(items);
      return values
        ? { kind: "constant", value: RegoSet.of(values), at: term.at }
        : { kind: "set", items, at: term.at };
    }
    case "object":
      return resolveObject(term.fields, term.at, scope, context);
    case "comprehension":
      return resolveComprehension(term, scope, context);
    case "template":
      return {
        kind: "template",
        parts: term.parts.map((part) => resolvePart(part, term.at, scope, context)),
        at: term.at,
      };
  }
}

function constants(items: readonly Ir[]): Value[] | undefined {
  const values: Value[] = [];
  for (const item of items) {
    if (item.kind !== "constant") return undefined;
    values.push(item.value);
  }
  return values;
}

function resolveObject(
  fields: readonly (readonly [Term, Term])[],
  at: Position,
  scope: Scope,
  context: ResolveContext,
): Ir {
  const all = fields.map(
    ([key, value]) => [resolveTerm(key, scope, context), resolveTerm(value, scope, context)] as const,
  );
  // Of two fields with one constant key the last counts.
  const resolved = all.filter(([key], i) => {
    return (
      key.kind !== "constant" ||
      !all.some(([other], j) => j > i && other.kind === "constant" && equalValues(key.value, other.value))
    );
  });
  const object = new RegoObject();
  for (const [key, value] of resolved) {
    if (key.kind !== "constant" || value.kind !== "constant") {
      return { kind: "object", fields: resolved, at };
    }
    object.set(key.value, value.value);
  }
  return { kind: "constant", value: object, at };
}

/** An interpolated expression may be undefined, so it is gathered as a comprehension is. */
function resolvePart(part: string | Term, at: Position, scope: Scope, context: ResolveContext): Ir {
  if (typeof part === "string") return { kind: "constant", value: part, at };
  const body: Body = [
    { kind: "term", term: { kind: "scalar", value: true, at }, negated: false, modifiers: [], at },
  ];
  return resolveComprehension(
    { kind: "comprehension", of: "set", head: part, body, at: part.at },
    scope,
    context,
  );
}

/** A reference below `data`, with the rules it can reach noted. */
export function dataRef(path: readonly Ir[], at: Position, context: ResolveContext): Ir {
  context.depend(
    path.map((step) => (step.kind === "constant" ? step.value : undefined)),
    at,
  );
  return path.length === 0 ? { kind: "data", at } : { kind: "ref", head: { kind: "data", at }, path, at };
}

function resolveName(name: string, at: Position, scope: Scope, context: ResolveContext): Ir {
  return resolvePath(name, [], at, scope, context);
}

function resolveRef(term: RefTerm, scope: Scope, context: ResolveContext): Ir {
  const path = term.path.map((step) => resolveTerm(step, scope, context));
  if (term.head.kind === "variable") return resolvePath(term.head.name, path, term.at, scope, context);
  return { kind: "ref", head: resolveTerm(term.head, scope, context), path, at: term.at };
}

/** `name` followed by `path`. */
function resolvePath(
  name: string,
  path: readonly Ir[],
  at: Position,
  scope: Scope,
  context: ResolveContext,
): Ir {
  const variable = scope.find(name, at);
  if (variable) return withPath({ kind: "variable", variable, at }, path, at);
  const constant = (value: string): Ir => ({ kind: "constant", value, at });
  if (name === "input") return withPath({ kind: "input", at }, path, at);
  if (name === "data") return dataRef(path, at, context);
  if (context.names.isRule(name)) {
    return dataRef([...[...context.names.packagePath, name].map(constant), ...path], at, context);
  }
  const imported = context.names.imports.get(name);
  if (!imported) throw compileError(at, `var ${name} is unsafe`);
  const full = [...imported.slice(1).map(constant), ...path];
  return imported[0] === "input" ? withPath({ kind: "input", at }, full, at) : dataRef(full, at, context);
}

function withPath(head: Ir, path: readonly Ir[], at: Position): Ir {
  return path.length === 0 ? head : { kind: "ref", head, path, at };
}

/** The function of a call, with the caller noted as depending on it. */
export function callTarget(term: CallTerm, context: ResolveContext): CallTarget {
  const target = findFunction(term.name, term.operator, context);
  if (!target) throw compileError(term.at, `undefined function ${describeName(term.name)}`);
  if (target.kind === "function") context.dependOnFunction(target.node, term.at);
  return target;
}

/** The call of `target` with resolved operands; `walk` and the metadata functions get their meaning here. */
export function makeCall(
  target: CallTarget,
  args: readonly Ir[],
  at: Position,
  scope: Scope,
  context: ResolveContext,
): Ir {
  checkOperands(target, args);
  const call: IrCall = { kind: "call", target, args, at };
  if (target.kind === "builtin") {
    const { name } = target.builtin;
    if (name === "rego.metadata.rule") return { kind: "constant", value: context.metadata.rule, at };
    if (name === "rego.metadata.chain") return { kind: "constant", value: context.metadata.chain, at };
    // The builtin gives all pairs; the relation holds for each of them.
    if (name === "walk") {
      return { kind: "ref", head: call, path: [{ kind: "variable", variable: scope.fresh(at), at }], at };
    }
  }
  return call;
}

function resolveCall(term: CallTerm, scope: Scope, context: ResolveContext): Ir {
  const target = callTarget(term, context);
  if (target.kind === "builtin" && (target.builtin.name === "eq" || target.builtin.name === "assign")) {
    throw compileError(term.at, "an assignment is no value");
  }
  if (term.args.length !== arityOf(target)) throw wrongArity(term, target, term.at);
  const args = term.args.map((arg) => resolveTerm(arg, scope, context));
  return makeCall(target, args, term.at, scope, context);
}

function resolveComprehension(term: ComprehensionTerm, outer: Scope, context: ResolveContext): Ir {
  const scope = new Scope(context.names, outer);
  scope.prepare(term.body, term.key ? [term.key, term.head] : [term.head]);
  const goals: Goal[] = resolveBody(term.body, scope, context);
  const key = term.key && settle(resolveTerm(term.key, scope, context), goals, scope);
  const head = settle(resolveTerm(term.head, scope, context), goals, scope);
  return { kind: "comprehension", of: term.of, key, head, goals, depth: scope.depth, at: term.at };
}

/** Makes a head term plain: what has to be computed becomes the last goal of the body. */
export function settle(term: Ir, goals: Goal[], scope: Scope): Ir {
  if (term.kind === "constant" || term.kind === "variable") return term;
  const variable: Ir = { kind: "variable", variable: scope.fresh(term.at), at: term.at };
  goals.push({ kind: "unify", left: variable, right: term, at: term.at });
  return variable;
}
