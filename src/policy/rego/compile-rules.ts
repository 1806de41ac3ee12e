/** Rules as written to rules that run. */
import type { Body, Rule, Term } from "./ast.ts";
import { compileBody } from "./compile-bodies.ts";
import { compileMatch } from "./compile-iterations.ts";
import { type CodeContext, compileTerm } from "./compile-terms.ts";
import type { CompiledRule, Evaluate, Step } from "./compiled-rule.ts";
import { putAt } from "./document.ts";
import type { Frame } from "./evaluation.ts";
import { compileError, evaluationError } from "./fault.ts";
import type { Goal, Ir, Variable } from "./ir.ts";
import { resolveBody } from "./resolve-bodies.ts";
import { patternVariables, Scope } from "./resolve-names.ts";
import { type ResolveContext, resolveTerm, settle } from "./resolve-terms.ts";
import type { RuleKind } from "./rule-tree.ts";
import { equalValues, RegoObject, RegoSet, type Value } from "./values.ts";

/** A rule with what the compiler found out about it, for the index and for stopping early. */
export interface RuleAnalysis {
  readonly rule: CompiledRule;
  /** The value that every branch gives, if it is constant. */
  readonly constant: Value | undefined;
  /** Goals of the only branch; undefined if there are more. */
  readonly goals: readonly Goal[] | undefined;
  readonly args: readonly Ir[];
}

/** How many steps of a rule's name are fixed; what follows has variables. */
export function fixedSteps(path: readonly Term[]): number {
  const at = path.findIndex((step) => step.kind !== "scalar");
  return at < 0 ? path.length : at;
}

export function kindOf(rule: Rule): RuleKind {
  if (rule.head.args) return "function";
  if (fixedSteps(rule.head.path) < rule.head.path.length) return "partial";
  return rule.head.element ? "set" : "complete";
}

/**
 * Compiles one rule.
 *
 * @throws KataError `policy-compile`.
 */
export function compileRule(rule: Rule, context: ResolveContext): RuleAnalysis {
  const { head } = rule;
  const argumentScope = new Scope(context.names);
  for (const { name, at } of (head.args ?? []).flatMap(patternVariables))
    declareArgument(argumentScope, name, at);
  const args = (head.args ?? []).map((arg) => resolveTerm(arg, argumentScope, context));
  const bound = new Set<Variable>();
  const code: CodeContext = {
    root: context.root,
    bound,
    depth: 0,
    iterated: new Map(),
    allocate: () => argumentScope.fresh(rule.at).slot,
  };
  const matches = args.map((arg) => compileMatch(arg, bound, code));
  const branches: Step[] = [];
  const constants: (Value | undefined)[] = [];
  let goals: readonly Goal[] | undefined;
  const parts = [{ value: head.value, body: rule.body }, ...rule.otherwise];
  for (const part of parts) {
    const compiled = compileBranch(
      rule,
      { value: part.value, body: part.body },
      argumentScope,
      code,
      context,
    );
    branches.push(compiled.step);
    constants.push(compiled.constant);
    goals = compiled.goals;
  }
  const [constant] = constants;
  const same =
    constant !== undefined && constants.every((other) => other !== undefined && equalValues(constant, other));
  const compiled: CompiledRule = {
    at: rule.at,
    slots: argumentScope.slots,
    bind: (frame, values) => matches.every((match, i) => match(frame, values[i] as Value)),
    branches,
  };
  return {
    rule: compiled,
    constant: same ? constant : undefined,
    goals: parts.length === 1 ? goals : undefined,
    args,
  };
}

function declareArgument(scope: Scope, name: string, at: Rule["at"]): void {
  // A name may come twice: both places must then have equal values.
  if (!scope.find(name, at)) scope.declare(name, at, undefined);
}

interface Branch {
  readonly step: Step;
  readonly constant: Value | undefined;
  readonly goals: readonly Goal[];
}

function compileBranch(
  rule: Rule,
  part: { readonly value: Term | undefined; readonly body: Body | undefined },
  argumentScope: Scope,
  code: CodeContext,
  context: ResolveContext,
): Branch {
  const { head } = rule;
  const scope = new Scope(context.names, argumentScope);
  const suffix = head.args ? [] : head.path.slice(fixedSteps(head.path));
  const heads = [...suffix, ...(head.element ? [head.element] : []), ...(part.value ? [part.value] : [])];
  scope.prepare(part.body ?? [], heads);
  const goals = resolveBody(part.body ?? [], scope, context);
  const plain = (term: Term) => settle(resolveTerm(term, scope, context), goals, scope);
  const path = suffix.map(plain);
  const element = head.element && plain(head.element);
  const value: Ir = part.value ? plain(part.value) : { kind: "constant", value: true, at: rule.at };
  const constant = value.kind === "constant" && !element && path.length === 0 ? value.value : undefined;
  const step = compileBody(goals, { ...code, depth: scope.depth }, (after) => {
    const pathTerms = path.map((term) => compileTerm(term, after));
    if (element) return deliverElement(pathTerms, compileTerm(element, after), rule);
    const valueTerm = compileTerm(value, after);
    return path.length > 0
      ? deliverField(pathTerms, valueTerm, rule)
      : deliverValue(valueTerm, constant !== undefined, rule);
  });
  return { step, constant, goals };
}

/** A complete rule's or function's value; a second, different one is a conflict. */
function deliverValue(value: Evaluate, isConstant: boolean, rule: Rule): Step {
  const isFunction = rule.head.args !== undefined;
  return (frame) => {
    const found = value(frame);
    if (found === undefined) return false;
    frame.solved = true;
    const { sink } = frame;
    if (sink.value === undefined) sink.value = found;
    else if (!equalValues(sink.value, found)) {
      const what = isFunction ? "functions" : "complete rules";
      throw evaluationError(rule.at, `${what} must not produce multiple outputs`);
    }
    return isConstant;
  };
}

function deliverElement(path: readonly Evaluate[], element: Evaluate, rule: Rule): Step {
  return (frame) => {
    const value = element(frame);
    const keys = pathKeys(path, frame);
    if (value === undefined || !keys) return false;
    frame.solved = true;
    const { run, sink } = frame;
    run.charge(1);
    const set = keys.length === 0 ? sink.value : setAt(sink.value as RegoObject, keys, frame, rule);
    if (set instanceof RegoSet) set.add(value);
    return false;
  };
}

function setAt(object: RegoObject, keys: readonly Value[], frame: Frame, rule: Rule): RegoSet {
  let found: Value | undefined = object;
  for (const key of keys) found = found instanceof RegoObject ? found.get(key) : undefined;
  if (found instanceof RegoSet) return found;
  const set = new RegoSet();
  putAt(frame.run, object, keys, set, rule.at);
  return set;
}

function deliverField(path: readonly Evaluate[], value: Evaluate, rule: Rule): Step {
  return (frame) => {
    const found = value(frame);
    const keys = pathKeys(path, frame);
    if (found === undefined || !keys) return false;
    frame.solved = true;
    putAt(frame.run, frame.sink.value as RegoObject, keys, found, rule.at);
    return false;
  };
}

function pathKeys(path: readonly Evaluate[], frame: Frame): Value[] | undefined {
  const keys: Value[] = [];
  for (const term of path) {
    const key = term(frame);
    if (key === undefined) return undefined;
    keys.push(key);
  }
  return keys;
}

/** The rule that gives a name its default. */
export function compileDefault(rule: Rule, context: ResolveContext): CompiledRule {
  const { value } = rule.head;
  if (!value) throw compileError(rule.at, "default rules must have a value");
  const plain: Rule = { ...rule, head: { ...rule.head, path: rule.head.path.slice(0, 1) } };
  const { rule: compiled } = compileRule({ ...plain, body: [] }, context);
  return compiled;
}
