/** The errors of the Rego engine, each with the place in the policy. */
import { KataError } from "../../kata-error.ts";
import { describePosition, type Position } from "./ast.ts";

/** The text is no Rego. */
export function syntaxError(at: Position, why: string): KataError {
  return new KataError("policy-syntax", {
    operation: "parse policy",
    object: describePosition(at),
    hint: why,
  });
}

/** The modules make no sense together: an unsafe variable, a recursion, a conflict, a wrong type. */
export function compileError(at: Position, why: string): KataError {
  return new KataError("policy-compile", {
    operation: "compile policy",
    object: describePosition(at),
    hint: why,
  });
}

/** Evaluation came to a contradiction that is no mere "undefined". */
export function evaluationError(at: Position, why: string): KataError {
  return new KataError("policy-evaluation", {
    operation: "evaluate policy",
    object: describePosition(at),
    hint: why,
  });
}

/** A bound on work or memory was reached. */
export function limitError(what: string, limit: number): KataError {
  return new KataError("policy-limit", {
    operation: "evaluate policy",
    object: what,
    hint: `the limit is ${limit}; simplify the policy or raise the limit`,
  });
}

/** Thrown by a builtin whose operands make no sense; undefined unless builtin errors are strict. */
export class BuiltinFault extends Error {
  override readonly name = "BuiltinFault";
}
