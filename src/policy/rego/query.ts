/** Queries: bodies outside of any module, whose variables are the answer. */
import type { Body, Literal } from "./ast.ts";
import { compileBody } from "./compile-bodies.ts";
import { type CodeContext, compileTerm } from "./compile-terms.ts";
import { Frame, type Run, Sink } from "./evaluation.ts";
import type { Goal, Ir, Variable } from "./ir.ts";
import { isWildcard } from "./parse-cursor.ts";
import { parseQuery } from "./parse-modules.ts";
import type { Program } from "./program.ts";
import { resolveBody } from "./resolve-bodies.ts";
import { arityOf, findFunction } from "./resolve-calls.ts";
import { Scope } from "./resolve-names.ts";
import { resolveTerm } from "./resolve-terms.ts";
import { RegoObject, type Value } from "./values.ts";

export interface CompiledQuery {
  /** The last solution, or undefined if there is none. */
  evaluate(run: Run): Value | undefined;
}

/**
 * Compiles a query against the rules of `program`.
 *
 * @throws KataError `policy-syntax` or `policy-compile`.
 */
export function compileQuery(text: string, program: Program): CompiledQuery {
  const body = parseQuery(text, program.queryDialect);
  const context = program.queryContext();
  const scope = new Scope(context.names);
  scope.prepare(body, []);
  const { goals, answer } = resolveQuery(body, scope, context);
  const code: CodeContext = {
    root: program.root,
    bound: new Set(),
    depth: 0,
    iterated: new Map(),
    allocate: () => scope.fresh({ file: "<query>", line: 1, column: 1 }).slot,
  };
  const bindings = scope
    .ownVariables()
    .filter(({ name }) => !isWildcard(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const step = compileBody(goals, code, (after) => {
    const value = compileTerm(answer, after);
    return (frame) => {
      const { sink } = frame;
      sink.value = bindings.length === 0 ? value(frame) : bindingsOf(bindings, frame);
      return false;
    };
  });
  return {
    evaluate(run) {
      const sink = new Sink();
      step(new Frame(run, scope.slots, sink));
      return sink.value;
    },
  };
}

function bindingsOf(variables: readonly Variable[], frame: Frame): Value {
  const object = new RegoObject();
  for (const { name, slot } of variables) {
    const value = frame.slots[slot];
    if (value !== undefined) object.set(name, value);
  }
  return object;
}

/** The goals, and the term whose value is the query's: `1 == 2` alone is false, not undefined. */
function resolveQuery(
  body: Body,
  scope: Scope,
  context: ReturnType<Program["queryContext"]>,
): { goals: Goal[]; answer: Ir } {
  const last = body.at(-1);
  const at = last?.at ?? { file: "<query>", line: 1, column: 1 };
  const answer: Ir = { kind: "variable", variable: scope.fresh(at), at };
  const truth: Ir = { kind: "constant", value: true, at };
  if (!last || !isPlainTerm(last, context))
    return { goals: resolveBody(body, scope, context), answer: truth };
  const goals = resolveBody(body.slice(0, -1), scope, context);
  scope.position = body.length;
  goals.push({ kind: "unify", left: answer, right: resolveTerm(last.term, scope, context), at });
  if (body.length > 1) goals.push({ kind: "test", term: answer, at });
  return { goals, answer };
}

function isPlainTerm(
  literal: Literal,
  context: ReturnType<Program["queryContext"]>,
): literal is Literal & { kind: "term" } {
  if (literal.kind !== "term" || literal.negated || literal.modifiers.length > 0) return false;
  const { term } = literal;
  if (term.kind !== "call") return true;
  const name = term.name.kind === "variable" ? term.name.name : "";
  if (name === "eq" || name === "assign" || name === "print") return false;
  // With one operand more than the function takes, the call is an equation.
  const target = findFunction(term.name, term.operator, context);
  return target === undefined || arityOf(target) === term.args.length;
}
