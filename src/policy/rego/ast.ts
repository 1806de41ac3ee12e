/** The syntax tree of Rego modules. Source: OPA policy reference, "Grammar". */
import type { Value } from "./values.ts";

export interface Position {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in code points. */
  readonly column: number;
}

export type Term =
  | { readonly kind: "scalar"; readonly value: Value; readonly at: Position }
  | VariableTerm
  | RefTerm
  | CallTerm
  | { readonly kind: "array"; readonly items: readonly Term[]; readonly at: Position }
  | { readonly kind: "set"; readonly items: readonly Term[]; readonly at: Position }
  | { readonly kind: "object"; readonly fields: readonly (readonly [Term, Term])[]; readonly at: Position }
  | ComprehensionTerm
  | { readonly kind: "template"; readonly parts: readonly (string | Term)[]; readonly at: Position };

/** A name; a wildcard `_` gets a name of its own, `$` and a number. */
export interface VariableTerm {
  readonly kind: "variable";
  readonly name: string;
  readonly at: Position;
}

/** `head.a["b"][c]`: the path holds a string scalar for each dotted name. */
export interface RefTerm {
  readonly kind: "ref";
  readonly head: Term;
  readonly path: readonly Term[];
  readonly at: Position;
}

/** A function or operator; operators have the builtin's name (`plus`, `eq`, `assign`, `internal.member_2`). */
export interface CallTerm {
  readonly kind: "call";
  readonly name: VariableTerm | RefTerm;
  /** True for operators: no rule or import takes their name. */
  readonly operator: boolean;
  readonly args: readonly Term[];
  readonly at: Position;
}

export interface ComprehensionTerm {
  readonly kind: "comprehension";
  readonly of: "array" | "set" | "object";
  /** The key of an object comprehension. */
  readonly key?: Term;
  readonly head: Term;
  readonly body: Body;
  readonly at: Position;
}

export interface WithModifier {
  readonly target: Term;
  readonly value: Term;
  readonly at: Position;
}

export type Literal = LiteralForm & {
  readonly negated: boolean;
  readonly modifiers: readonly WithModifier[];
  readonly at: Position;
};

export type LiteralForm =
  | { readonly kind: "term"; readonly term: Term }
  | { readonly kind: "some"; readonly names: readonly VariableTerm[] }
  | { readonly kind: "some-in"; readonly key?: Term; readonly value: Term; readonly collection: Term }
  | {
      readonly kind: "every";
      readonly key?: VariableTerm;
      readonly value: VariableTerm;
      readonly collection: Term;
      readonly body: Body;
    }
  | {
      /** `a and b`, `a or { b; c }`; a lone operand is the body of `not { … }`. */
      readonly kind: "logic";
      readonly operator: "and" | "or";
      readonly operands: readonly Body[];
    };

export type Body = readonly Literal[];

export interface RuleHead {
  /** Name and what follows it: `p.q[x]` is `["p", "q", x]` as terms. */
  readonly path: readonly Term[];
  /** Parameters of a function. */
  readonly args?: readonly Term[];
  /** The element of `p contains element`. */
  readonly element?: Term;
  /** Absent if the value is an implied `true`. */
  readonly value?: Term;
  /** `:=` rather than `=`. */
  readonly assigned: boolean;
  readonly at: Position;
}

export interface Rule {
  readonly isDefault: boolean;
  readonly head: RuleHead;
  /** Absent if the rule has none. */
  readonly body?: Body;
  readonly otherwise: readonly ElseBranch[];
  readonly at: Position;
  /** Line of the last token. */
  readonly endLine: number;
}

export interface ElseBranch {
  readonly value?: Term;
  readonly assigned: boolean;
  readonly body?: Body;
  readonly at: Position;
}

export interface Import {
  /** The path after `input`, `data`, `future` or `rego`, that name included. */
  readonly path: readonly string[];
  readonly alias?: string;
  readonly at: Position;
}

export interface Comment {
  /** Without the leading `#`. */
  readonly text: string;
  readonly at: Position;
  /** True if nothing but space stands before it on its line. */
  readonly alone: boolean;
}

export type Dialect = "v0" | "v1";

export interface Module {
  readonly file: string;
  readonly dialect: Dialect;
  /** Without the implied `data`. */
  readonly package: readonly string[];
  readonly packageAt: Position;
  readonly imports: readonly Import[];
  readonly rules: readonly Rule[];
  readonly comments: readonly Comment[];
}

export function scalar(value: Value, at: Position): Term {
  return { kind: "scalar", value, at };
}

export function describePosition(at: Position): string {
  return `${at.file}:${at.line}:${at.column}`;
}
