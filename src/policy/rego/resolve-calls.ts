/** Which function a call means, and whether its operands can be right. */
import type { CallTerm, Position, RefTerm, Term, VariableTerm } from "./ast.ts";
import { type BuiltinTable, operandFault } from "./builtin-registry.ts";
import { compileError } from "./fault.ts";
import type { CallTarget, Ir } from "./ir.ts";
import type { ModuleNames } from "./resolve-names.ts";
import type { RuleNode } from "./rule-tree.ts";

/**
 * The function that `name` means in a module: an import's first, then the package's, then a builtin.
 * Undefined if there is none, or it is a rule without parameters.
 */
export function findFunction(
  name: VariableTerm | RefTerm,
  operator: boolean,
  scope: { readonly names: ModuleNames; readonly root: RuleNode; readonly builtins: BuiltinTable },
): CallTarget | undefined {
  const path = dottedPath(name);
  if (!path) return undefined;
  const [head, ...rest] = path;
  if (head === undefined) return undefined;
  const { names, root, builtins } = scope;
  if (!operator) {
    const imported = names.imports.get(head);
    if (imported) return functionAt(root, [...imported.slice(1), ...rest]);
    if (head === "data") return functionAt(root, rest);
    const own = functionAt(names.packageNode, path);
    if (own) return own;
  }
  const builtin = builtins[path.join(".")];
  return builtin && { kind: "builtin", builtin };
}

export function describeName(name: Term): string {
  return dottedPath(name)?.join(".") ?? "expression";
}

export function dottedPath(name: Term): string[] | undefined {
  if (name.kind === "variable") return [name.name];
  if (name.kind !== "ref" || name.head.kind !== "variable") return undefined;
  const path = [name.head.name];
  for (const step of name.path) {
    if (step.kind !== "scalar" || typeof step.value !== "string") return undefined;
    path.push(step.value);
  }
  return path;
}

function functionAt(from: RuleNode, path: readonly string[]): CallTarget | undefined {
  let node: RuleNode | undefined = from;
  for (const key of path) node = node?.child(key);
  return node?.kind === "function" ? { kind: "function", node } : undefined;
}

export function arityOf(target: CallTarget): number {
  return target.kind === "builtin" ? target.builtin.operands.length : target.node.arity;
}

/**
 * Refuses operands of a type that a builtin never takes, if all of them are known to have a value.
 *
 * @throws KataError `policy-compile`.
 */
export function checkOperands(target: CallTarget, args: readonly Ir[]): void {
  // Another operand may turn out undefined, which comes before any fault.
  if (target.kind !== "builtin" || !args.every(sampleValue)) return;
  args.forEach((arg, index) => {
    const sample = sampleValue(arg);
    const why = sample && operandFault(target.builtin, index, sample.value);
    if (why) throw compileError(arg.at, why);
  });
}

/** Any value of the only type that a term can have. */
function sampleValue(term: Ir): { readonly value: Parameters<typeof operandFault>[2] } | undefined {
  if (term.kind === "constant") return term;
  return term.kind === "array" || (term.kind === "comprehension" && term.of === "array")
    ? { value: [] }
    : undefined;
}

export function wrongArity(call: CallTerm, target: CallTarget, at: Position): Error {
  const expected = arityOf(target);
  return compileError(
    at,
    `${describeName(call.name)} expects ${expected} argument${expected === 1 ? "" : "s"}, got ${call.args.length}`,
  );
}
