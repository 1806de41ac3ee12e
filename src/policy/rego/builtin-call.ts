/** Calls of builtins and functions: operands checked, faults made undefined or errors, `with` replacements honoured. */
import { KataError } from "../../kata-error.ts";
import type { Position } from "./ast.ts";
import { type Builtin, operandFault } from "./builtin-registry.ts";
import { Decimal, sizeOf } from "./decimal.ts";
import type { Run } from "./evaluation.ts";
import { BuiltinFault, evaluationError } from "./fault.ts";
import type { CallTarget } from "./ir.ts";
import { callFunction } from "./rule-evaluation.ts";
import { isArray, RegoObject, RegoSet, type Value } from "./values.ts";

/** The result of a call, or of what `with` put in the function's place. */
export function callTarget(
  run: Run,
  target: CallTarget,
  args: readonly Value[],
  at: Position,
): Value | undefined {
  const { scope } = run;
  const key = target.kind === "builtin" ? target.builtin : target.node;
  const mock = scope.mocks?.get(key);
  if (mock !== undefined) {
    if (!isTarget(mock)) return mock;
    // What a replacement calls is not replaced, so that it may call what it stands for.
    run.scope = { ...scope, mocks: undefined, memo: new Map() };
    const value = callTarget(run, mock, args, at);
    run.scope = scope;
    return value;
  }
  if (target.kind === "builtin") return callBuiltin(run, target.builtin, args, at);
  return callFunction(run, target.node, args);
}

export function isTarget(mock: CallTarget | Value): mock is CallTarget {
  if (typeof mock !== "object" || mock === null || isArray(mock as Value)) return false;
  return "kind" in mock && (mock.kind === "builtin" || mock.kind === "function");
}

/** The builtin's value; a fault is undefined, or an error if builtin errors are strict. */
export function callBuiltin(
  run: Run,
  builtin: Builtin,
  args: readonly Value[],
  at: Position,
): Value | undefined {
  run.step();
  try {
    for (let i = 0; i < args.length; i++) {
      const why = operandFault(builtin, i, args[i] as Value);
      if (why) throw new BuiltinFault(why);
    }
    const value = builtin.evaluate(args, { run, host: run.host, at });
    if (typeof value === "string") run.charge(value.length >> 4);
    else if (value instanceof RegoSet || value instanceof RegoObject) run.charge(value.size);
    else if (isArray(value)) run.charge(value.length);
    else if (value instanceof Decimal) run.spend(sizeOf(value));
    return value;
  } catch (error) {
    if (error instanceof BuiltinFault || (error instanceof KataError && error.code === "invalid-json")) {
      if (run.strict) throw evaluationError(at, error.message);
      return undefined;
    }
    throw error;
  }
}
