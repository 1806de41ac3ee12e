/**
 * What the compiler makes of terms and bodies once every name is resolved: variables are numbered slots of a frame,
 * references know their root, constant composites are values.
 */
import type { Position } from "./ast.ts";
import type { Builtin } from "./builtin-registry.ts";
import type { RuleNode } from "./rule-tree.ts";
import type { Value } from "./values.ts";

/** A variable of one body; nested comprehensions see those of the bodies around them. */
export interface Variable {
  readonly name: string;
  readonly slot: number;
  /** How many closures surround the body that owns it. */
  readonly depth: number;
  readonly at: Position;
}

export type Ir =
  | { readonly kind: "constant"; readonly value: Value; readonly at: Position }
  | IrVariable
  | { readonly kind: "input"; readonly at: Position }
  | { readonly kind: "data"; readonly at: Position }
  | IrRef
  | IrCall
  | { readonly kind: "array"; readonly items: readonly Ir[]; readonly at: Position }
  | { readonly kind: "set"; readonly items: readonly Ir[]; readonly at: Position }
  | { readonly kind: "object"; readonly fields: readonly (readonly [Ir, Ir])[]; readonly at: Position }
  | IrComprehension
  | { readonly kind: "template"; readonly parts: readonly Ir[]; readonly at: Position };

export interface IrVariable {
  readonly kind: "variable";
  readonly variable: Variable;
  readonly at: Position;
}

export interface IrRef {
  readonly kind: "ref";
  readonly head: Ir;
  readonly path: readonly Ir[];
  readonly at: Position;
}

export interface IrCall {
  readonly kind: "call";
  readonly target: CallTarget;
  readonly args: readonly Ir[];
  readonly at: Position;
}

export type CallTarget =
  | { readonly kind: "builtin"; readonly builtin: Builtin }
  | { readonly kind: "function"; readonly node: RuleNode };

export interface IrComprehension {
  readonly kind: "comprehension";
  readonly of: "array" | "set" | "object";
  readonly key: Ir | undefined;
  readonly head: Ir;
  readonly goals: readonly Goal[];
  /** The depth of its own variables. */
  readonly depth: number;
  readonly at: Position;
}

/** Variables that must have a value before a goal's own references give them one; see closure-safety.ts. */
type Before = ReadonlySet<Variable> | undefined;

/** One thing that a body must satisfy. */
export type Goal =
  | {
      readonly kind: "unify";
      readonly left: Ir;
      readonly right: Ir;
      /** The right side gives no variable a value. */
      readonly isClosed?: boolean;
      /** The right side is a call whose last operand was its output, the left side. */
      readonly isCall?: boolean;
      readonly before?: Before;
      readonly at: Position;
    }
  | { readonly kind: "test"; readonly term: Ir; readonly before?: Before; readonly at: Position }
  | {
      readonly kind: "not";
      readonly goals: readonly Goal[];
      /** The depth of its own variables, if it has any. */
      readonly depth?: number;
      readonly at: Position;
    }
  | {
      readonly kind: "every";
      readonly key: Variable;
      readonly value: Variable;
      readonly collection: Ir;
      readonly goals: readonly Goal[];
      readonly depth: number;
      readonly before?: Before;
      readonly at: Position;
    }
  | { readonly kind: "print"; readonly args: readonly Ir[]; readonly at: Position }
  | {
      readonly kind: "with";
      readonly goals: readonly Goal[];
      readonly replacements: readonly Replacement[];
      readonly before?: Before;
      readonly at: Position;
    };

/** What one `with` modifier replaces. */
export type Replacement =
  | { readonly kind: "input"; readonly path: readonly Value[]; readonly value: Ir }
  | { readonly kind: "data"; readonly path: readonly Value[]; readonly value: Ir }
  | { readonly kind: "function"; readonly target: CallTarget; readonly by: CallTarget | Ir };

/** The terms that a replacement computes: none if it puts a function in a function's place. */
export function replacementValues(replacement: Replacement): readonly Ir[] {
  const value = replacement.kind === "function" ? replacement.by : replacement.value;
  return value.kind === "builtin" || value.kind === "function" ? [] : [value];
}

/** Variables that a term or goal mentions and that live outside of closures deeper than `depth`. */
export function collectVariables(term: Ir, depth: number, into: Set<Variable>): void {
  switch (term.kind) {
    case "variable":
      if (term.variable.depth <= depth) into.add(term.variable);
      return;
    case "ref":
      collectVariables(term.head, depth, into);
      for (const step of term.path) collectVariables(step, depth, into);
      return;
    case "call":
      for (const arg of term.args) collectVariables(arg, depth, into);
      return;
    case "array":
    case "set":
      for (const item of term.items) collectVariables(item, depth, into);
      return;
    case "object":
      for (const [key, value] of term.fields) {
        collectVariables(key, depth, into);
        collectVariables(value, depth, into);
      }
      return;
    case "comprehension":
      if (term.key) collectVariables(term.key, depth, into);
      collectVariables(term.head, depth, into);
      for (const goal of term.goals) collectGoalVariables(goal, depth, into);
      return;
    case "template":
      for (const part of term.parts) collectVariables(part, depth, into);
      return;
    case "constant":
    case "input":
    case "data":
      return;
  }
}

/** As {@link collectVariables}, for a goal. */
export function collectGoalVariables(goal: Goal, depth: number, into: Set<Variable>): void {
  switch (goal.kind) {
    case "unify":
      collectVariables(goal.left, depth, into);
      collectVariables(goal.right, depth, into);
      return;
    case "test":
      collectVariables(goal.term, depth, into);
      return;
    case "not":
      for (const inner of goal.goals) collectGoalVariables(inner, depth, into);
      return;
    case "every":
      collectVariables(goal.collection, depth, into);
      for (const inner of goal.goals) collectGoalVariables(inner, depth, into);
      return;
    case "print":
      for (const arg of goal.args) collectVariables(arg, depth, into);
      return;
    case "with":
      for (const inner of goal.goals) collectGoalVariables(inner, depth, into);
      for (const value of goal.replacements.flatMap(replacementValues)) collectVariables(value, depth, into);
      return;
  }
}
