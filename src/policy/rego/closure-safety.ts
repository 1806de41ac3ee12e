/**
 * What OPA asks of a variable that a comprehension shares with the body around it, beyond having a value: each
 * expression has to get it from another one.
 *
 * - It has to have its value before the expression that holds the comprehension; a reference of that same expression
 *   gives it too late. Nested calls count as expressions of their own, met before the one around them.
 * - An expression that gives no value of its own (it is no equation, and no call with an output) is unsafe if the
 *   variables between the brackets of its references are just those that its comprehensions share, wherever else
 *   they have a value: `x := 0; [input.a[x], [1 | x > 1]] != 3`.
 *
 * Source: `opa eval` on such programs (1.22); tests/conformance/rego-differential.ts keeps to it.
 */
import type { Position } from "./ast.ts";
import { compileError } from "./fault.ts";
import { collectVariables, type Ir, type Variable } from "./ir.ts";

/** An expression as OPA sees it, calls in its operands apart. */
class Expression {
  /** Variables between the brackets of its references. */
  readonly opened = new Set<Variable>();
  /** Variables of the body that its comprehensions share. */
  readonly shared = new Set<Variable>();
  readonly nested: Expression[] = [];

  constructor(terms: readonly Ir[], depth: number) {
    for (const term of terms) this.take(term, depth, false);
  }

  private take(term: Ir, depth: number, isKey: boolean): void {
    switch (term.kind) {
      case "variable":
        if (isKey && term.variable.depth === depth) this.opened.add(term.variable);
        return;
      case "ref":
        if (term.head.kind === "comprehension") this.nested.push(new Expression([term.head], depth));
        else this.take(term.head, depth, isKey);
        for (const step of term.path) this.take(step, depth, true);
        return;
      case "call":
        this.nested.push(new Expression(term.args, depth));
        return;
      case "array":
      case "set":
        for (const item of term.items) this.take(item, depth, isKey);
        return;
      case "object":
        for (const [key, value] of term.fields) {
          this.take(key, depth, isKey);
          this.take(value, depth, isKey);
        }
        return;
      case "comprehension":
        for (const variable of variablesOf(term, depth)) this.shared.add(variable);
        return;
      case "constant":
      case "input":
      case "data":
      case "template":
        return;
    }
  }

  /** This expression and those inside of it, each with those around it. */
  *walk(around: readonly Expression[] = []): IterableIterator<[Expression, readonly Expression[]]> {
    yield [this, around];
    for (const inner of this.nested) yield* inner.walk([...around, this]);
  }
}

function variablesOf(term: Ir, depth: number): Variable[] {
  const variables = new Set<Variable>();
  collectVariables(term, depth, variables);
  return [...variables].filter((variable) => variable.depth === depth);
}

/**
 * The variables of the body at `depth` that must have a value before the expression with these operands is met;
 * undefined if there are none.
 */
export function sharedBefore(operands: readonly Ir[], depth: number): ReadonlySet<Variable> | undefined {
  const expressions = [...new Expression(operands, depth).walk()];
  const before = new Set<Variable>();
  for (const [expression, around] of expressions) {
    for (const variable of expression.shared) {
      const isGiven = expressions.some(
        ([other]) => other !== expression && !around.includes(other) && other.opened.has(variable),
      );
      if (!isGiven) before.add(variable);
    }
  }
  return before.size > 0 ? before : undefined;
}

/**
 * Refuses an expression that gives no value of its own and both opens and shares the same variables.
 *
 * @param output the operand that takes a call's value, if it has one.
 * @throws KataError `policy-compile`.
 */
export function checkShared(
  operands: readonly Ir[],
  output: Ir | undefined,
  depth: number,
  at: Position,
): void {
  const { opened, shared } = new Expression(operands, depth);
  if (output) for (const variable of variablesOf(output, depth)) opened.add(variable);
  const [first] = shared;
  if (!first || opened.size !== shared.size) return;
  for (const variable of shared) if (!opened.has(variable)) return;
  throw compileError(at, `var ${first.name} is unsafe: the same expression opens a reference with it`);
}
