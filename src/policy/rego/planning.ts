/**
 * The order in which the goals of a body are met.
 *
 * A goal can be met once every variable it needs has a value; a reference with unbound variables between its
 * brackets gives them values by going through the collection. Goals keep their written order as far as that allows.
 * Source: OPA policy reference, "Variable safety".
 */
import type { Position } from "./ast.ts";
import { compileError } from "./fault.ts";
import {
  collectGoalVariables,
  collectVariables,
  type Goal,
  type Ir,
  type IrRef,
  replacementValues,
  type Variable,
} from "./ir.ts";
import { separateCalls } from "./separate-calls.ts";

/** A goal, the references to go through before it, and how an equation is met. */
export interface Plan {
  readonly goal: Goal;
  /** References with variables that they bind, in order. */
  readonly iterations: readonly IrRef[];
  /** Variables with a value before each iteration. */
  readonly boundBefore: readonly ReadonlySet<Variable>[];
  /** For an equation: the side to compute; the other is matched against its value. */
  readonly computed: "left" | "right" | undefined;
  /** Variables with a value before the goal, its iterations done. */
  readonly bound: ReadonlySet<Variable>;
}

/**
 * Plans `goals` in an order in which each is safe.
 *
 * @param bound variables that have a value before.
 * @param depth closures around the body.
 * @param allocate gives the slot of another variable of the frame.
 * @returns the plans and all variables that have a value after them.
 * @throws KataError `policy-compile` naming a variable that nothing gives a value.
 */
export function planBody(
  goals: readonly Goal[],
  bound: ReadonlySet<Variable>,
  depth: number,
  allocate: () => number,
): { readonly plans: readonly Plan[]; readonly bound: ReadonlySet<Variable> } {
  const fresh = (at: Position): Variable => ({ name: "$", slot: allocate(), depth, at });
  const plans: Plan[] = [];
  let known = bound;
  let waiting = [...goals];
  while (waiting.length > 0) {
    const later: Goal[] = [];
    for (const goal of waiting) {
      const plan = planGoal(goal, known, depth, allocate);
      if (!plan) {
        later.push(goal);
        continue;
      }
      plans.push(plan.plan);
      known = plan.after;
    }
    const isStuck = later.length === waiting.length;
    waiting = isStuck ? later.flatMap((goal) => separateCalls(goal, depth, fresh)) : later;
    if (isStuck && waiting.length === later.length) throw unsafe(later, known, depth);
  }
  return { plans, bound: known };
}

/** Names the first variable without a value that the source writes down. */
function unsafe(goals: readonly Goal[], bound: ReadonlySet<Variable>, depth: number): Error {
  const missing = goals
    .flatMap((goal) => [...beforeOf(goal), ...goalVariables(goal, depth)])
    .filter((variable) => !bound.has(variable));
  const variable = missing.find(({ name }) => name !== "$") ?? missing[0];
  if (!variable)
    return compileError(goals[0]?.at ?? { file: "", line: 0, column: 0 }, "expression is unsafe");
  return compileError(variable.at, `var ${variable.name.startsWith("$") ? "_" : variable.name} is unsafe`);
}

function beforeOf(goal: Goal): Iterable<Variable> {
  return ("before" in goal && goal.before) || [];
}

function planGoal(
  goal: Goal,
  bound: ReadonlySet<Variable>,
  depth: number,
  allocate: () => number,
): { readonly plan: Plan; readonly after: ReadonlySet<Variable> } | undefined {
  const opened = new Set(bound);
  const iterations: IrRef[] = [];
  const boundBefore: ReadonlySet<Variable>[] = [];
  const open = (terms: readonly Ir[]) => openIterations(terms, opened, depth, iterations, boundBefore);
  const done = (computed?: "left" | "right") => {
    const before = new Set(opened);
    for (const variable of outputs(goal, depth)) opened.add(variable);
    return { plan: { goal, iterations, boundBefore, computed, bound: before }, after: opened };
  };
  if (!isReady(beforeOf(goal), bound)) return undefined;
  switch (goal.kind) {
    case "unify": {
      if (goal.isClosed && !isReady(variablesOf(goal.right, depth), opened)) return undefined;
      if (!open([goal.left, goal.right])) return undefined;
      if (!isReady(inputsOfPattern(goal.left, depth), opened)) return undefined;
      if (!isReady(inputsOfPattern(goal.right, depth), opened)) return undefined;
      if (isReady(variablesOf(goal.right, depth), opened)) return done("right");
      return isReady(variablesOf(goal.left, depth), opened) ? done("left") : undefined;
    }
    case "test":
      if (!open([goal.term])) return undefined;
      return isReady(variablesOf(goal.term, depth), opened) ? done() : undefined;
    case "every":
      if (!open([goal.collection])) return undefined;
      return isReady(goalVariables(goal, depth), opened) ? done() : undefined;
    case "print":
    case "not":
      return isReady(goalVariables(goal, depth), opened) ? done() : undefined;
    case "with": {
      const values = goal.replacements.flatMap(replacementValues);
      if (!open(values)) return undefined;
      if (!values.every((value) => isReady(variablesOf(value, depth), opened))) return undefined;
      try {
        const inner = planBody(goal.goals, opened, depth, allocate);
        return {
          plan: { goal, iterations, boundBefore, computed: undefined, bound: opened },
          after: inner.bound,
        };
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "policy-compile") return undefined;
        throw error;
      }
    }
  }
}

/** Variables that meeting the goal gives a value. */
function outputs(goal: Goal, depth: number): Iterable<Variable> {
  return goal.kind === "unify" ? goalVariables(goal, depth) : [];
}

function goalVariables(goal: Goal, depth: number): Set<Variable> {
  const variables = new Set<Variable>();
  collectGoalVariables(goal, depth, variables);
  return variables;
}

function variablesOf(term: Ir, depth: number): Set<Variable> {
  const variables = new Set<Variable>();
  collectVariables(term, depth, variables);
  return variables;
}

function isReady(needed: Iterable<Variable>, bound: ReadonlySet<Variable>): boolean {
  for (const variable of needed) if (!bound.has(variable)) return false;
  return true;
}

/** Variables that a term needs even where it is matched against a value. */
function inputsOfPattern(term: Ir, depth: number): Set<Variable> {
  const needed = new Set<Variable>();
  const visit = (part: Ir): void => {
    switch (part.kind) {
      case "variable":
        return;
      case "array":
        part.items.forEach(visit);
        return;
      case "object":
        for (const [key, value] of part.fields) {
          collectVariables(key, depth, needed);
          visit(value);
        }
        return;
      default:
        collectVariables(part, depth, needed);
    }
  };
  visit(term);
  return needed;
}

/** Opens the references in `terms` that go through a collection; false if one of them has to wait for a variable. */
function openIterations(
  terms: readonly Ir[],
  bound: Set<Variable>,
  depth: number,
  into: IrRef[],
  boundBefore: ReadonlySet<Variable>[],
): boolean {
  const found: IrRef[] = [];
  for (const term of terms) findIterations(term, bound, depth, found);
  let waiting = found;
  while (waiting.length > 0) {
    const later: IrRef[] = [];
    for (const ref of waiting) {
      if (!isReady(inputsOfRef(ref, depth, into), bound)) {
        later.push(ref);
        continue;
      }
      into.push(ref);
      boundBefore.push(new Set(bound));
      for (const step of ref.path) for (const variable of patternVariables(step)) bound.add(variable);
    }
    if (later.length === waiting.length) return false;
    waiting = later;
  }
  return true;
}

/** References that have an unbound variable between brackets, inner ones first. */
function findIterations(term: Ir, bound: ReadonlySet<Variable>, depth: number, into: IrRef[]): void {
  switch (term.kind) {
    case "ref": {
      findIterations(term.head, bound, depth, into);
      for (const step of term.path) findIterations(step, bound, depth, into);
      const open = term.path.some((step) => patternVariables(step).some((variable) => !bound.has(variable)));
      if (open) into.push(term);
      return;
    }
    case "call":
      for (const arg of term.args) findIterations(arg, bound, depth, into);
      return;
    case "array":
    case "set":
      for (const item of term.items) findIterations(item, bound, depth, into);
      return;
    case "object":
      for (const [key, value] of term.fields) {
        findIterations(key, bound, depth, into);
        findIterations(value, bound, depth, into);
      }
      return;
    default:
      return;
  }
}

/** What a reference needs before it can be gone through; references inside that are done already need nothing more. */
function inputsOfRef(ref: IrRef, depth: number, done: readonly IrRef[]): Set<Variable> {
  const needed = new Set<Variable>();
  const add = (term: Ir): void => {
    if (term.kind === "ref" && done.includes(term)) return;
    collectVariables(term, depth, needed);
  };
  add(ref.head);
  for (const step of ref.path) {
    if (step.kind === "variable") continue;
    for (const variable of inputsOfPattern(step, depth)) needed.add(variable);
  }
  return needed;
}

/** Variables that matching a member's key against `step` can bind. */
function patternVariables(step: Ir): Variable[] {
  switch (step.kind) {
    case "variable":
      return [step.variable];
    case "array":
      return step.items.flatMap(patternVariables);
    case "object":
      return step.fields.flatMap(([, value]) => patternVariables(value));
    default:
      return [];
  }
}
