/** Terms and expressions as text, in the style of `opa fmt`. */
import type { Body, CallTerm, Literal, Position, Term } from "./ast.ts";
import { formatNumber } from "./decimal.ts";
import { quote } from "./json.ts";
import { isWildcard } from "./parse-cursor.ts";
import { isNumber } from "./values.ts";

/** Looks at the text that a term was read from. */
export type SourceAt = (at: Position) => string;

const OPERATORS: Readonly<Record<string, readonly [symbol: string, precedence: number]>> = {
  "internal.member_2": ["in", 1],
  equal: ["==", 2],
  neq: ["!=", 2],
  lt: ["<", 2],
  gt: [">", 2],
  lte: ["<=", 2],
  gte: [">=", 2],
  or: ["|", 3],
  and: ["&", 4],
  plus: ["+", 5],
  minus: ["-", 5],
  mul: ["*", 6],
  div: ["/", 6],
  rem: ["%", 6],
};

const NUMBER = /^-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/;

export class TermFormatter {
  private readonly source: SourceAt;

  constructor(source: SourceAt) {
    this.source = source;
  }

  /** @param indent of the line that the term begins on. */
  term(term: Term, indent: string, precedence = 0): string {
    switch (term.kind) {
      case "scalar":
        return this.scalar(term);
      case "variable":
        return isWildcard(term.name) ? "_" : term.name;
      case "ref":
        return this.term(term.head, indent, 9) + term.path.map((step) => this.step(step, indent)).join("");
      case "call":
        return this.call(term, indent, precedence);
      case "array":
        return this.list("[", "]", term, indent);
      case "set":
        return term.items.length === 0 ? "set()" : this.list("{", "}", term, indent);
      case "object": {
        const items = term.fields.map(([key, value]) => ({
          at: key.at,
          text: (inner: string) => `${this.term(key, inner)}: ${this.term(value, inner)}`,
        }));
        return this.bracketed("{", "}", items, term.at, indent);
      }
      case "comprehension":
        return this.comprehension(term, indent);
      case "template":
        return `$"${term.parts.map((part) => this.templatePart(part, indent)).join("")}"`;
    }
  }

  body(body: Body, indent: string): string {
    return body.map((literal) => `${indent}${this.literal(literal, indent)}\n`).join("");
  }

  literal(literal: Literal, indent: string): string {
    const modifiers = literal.modifiers.map(
      ({ target, value }) => ` with ${this.term(target, indent)} as ${this.term(value, indent)}`,
    );
    return (literal.negated ? "not " : "") + this.form(literal, indent) + modifiers.join("");
  }

  private form(literal: Literal, indent: string): string {
    switch (literal.kind) {
      case "term":
        return this.term(literal.term, indent);
      case "some":
        return `some ${literal.names.map((name) => this.term(name, indent)).join(", ")}`;
      case "some-in": {
        const key = literal.key ? `${this.term(literal.key, indent, 2)}, ` : "";
        return `some ${key}${this.term(literal.value, indent, 2)} in ${this.term(literal.collection, indent, 2)}`;
      }
      case "every": {
        const key = literal.key ? `${this.term(literal.key, indent)}, ` : "";
        const head = `every ${key}${this.term(literal.value, indent)} in ${this.term(literal.collection, indent, 2)}`;
        return `${head} {\n${this.body(literal.body, `${indent}\t`)}${indent}}`;
      }
      case "logic":
        return literal.operands.map((body) => this.operand(body, indent)).join(` ${literal.operator} `);
    }
  }

  /** An operand of `and` and `or`, or the body behind `not`: plain where it is one plain expression. */
  private operand(body: Body, indent: string): string {
    const [first, ...more] = body;
    const isPlain = first && more.length === 0 && first.kind !== "logic" && first.modifiers.length === 0;
    if (isPlain && !(first.kind === "term" && first.term.kind === "set")) return this.literal(first, indent);
    return `{\n${this.body(body, `${indent}\t`)}${indent}}`;
  }

  private scalar(term: Extract<Term, { kind: "scalar" }>): string {
    const { value } = term;
    if (typeof value === "string") {
      const isRaw = this.source(term.at).startsWith("`") && !value.includes("`");
      return isRaw ? `\`${value}\`` : quote(value);
    }
    if (isNumber(value)) return NUMBER.exec(this.source(term.at))?.[0] ?? formatNumber(value);
    return `${value}`;
  }

  private step(step: Term, indent: string): string {
    const isName =
      step.kind === "scalar" && typeof step.value === "string" && /^[A-Za-z_][A-Za-z0-9_]*$/.test(step.value);
    return isName ? `.${step.value}` : `[${this.term(step, indent)}]`;
  }

  private call(term: CallTerm, indent: string, precedence: number): string {
    const name = term.name.kind === "variable" ? term.name.name : "";
    const [first, second, third] = term.args;
    if (term.operator && first && second) {
      if (name === "eq" || name === "assign") {
        return `${this.term(first, indent)} ${name === "eq" ? "=" : ":="} ${this.term(second, indent)}`;
      }
      if (name === "internal.member_3" && third) {
        const text = `${this.term(first, indent, 2)}, ${this.term(second, indent, 2)} in ${this.term(third, indent, 2)}`;
        return `(${text})`;
      }
      const operator = OPERATORS[name];
      if (operator) {
        const [symbol, own] = operator;
        const text = `${this.term(first, indent, own)} ${symbol} ${this.term(second, indent, own + 1)}`;
        // A union that stands first in braces would be read as a comprehension.
        return own < precedence || (name === "or" && precedence > 0) ? `(${text})` : text;
      }
    }
    const items = term.args.map((arg) => ({ at: arg.at, text: (inner: string) => this.term(arg, inner) }));
    return this.bracketed(`${this.term(term.name, indent)}(`, ")", items, term.at, indent);
  }

  private list(
    open: string,
    close: string,
    term: Extract<Term, { kind: "array" | "set" }>,
    indent: string,
  ): string {
    // A first item followed by `|` would be read as a comprehension.
    const isAmbiguous = term.items.length === 1 && isUnion(term.items[0]);
    const items = term.items.map((item) => ({
      at: item.at,
      text: (inner: string) => (isAmbiguous ? `(${this.term(item, inner)})` : this.term(item, inner)),
    }));
    return this.bracketed(open, close, items, term.at, indent);
  }

  /** On one line if the items were written on the line of the bracket, else one line each. */
  private bracketed(
    open: string,
    close: string,
    items: readonly { readonly at: Position; readonly text: (indent: string) => string }[],
    at: Position,
    indent: string,
  ): string {
    const isSpread = items.some((item) => item.at.line > at.line);
    if (!isSpread) return open + items.map((item) => item.text(indent)).join(", ") + close;
    const inner = `${indent}\t`;
    return `${open}\n${items.map((item) => `${inner}${item.text(inner)},\n`).join("")}${indent}${close}`;
  }

  private comprehension(term: Extract<Term, { kind: "comprehension" }>, indent: string): string {
    const [open, close] = term.of === "array" ? ["[", "]"] : ["{", "}"];
    const key = term.key ? `${this.term(term.key, indent, 9)}: ` : "";
    const head = `${open}${key}${this.term(term.head, indent, 9)} |`;
    const isSpread = term.body.some((literal) => literal.at.line > term.at.line);
    if (!isSpread)
      return `${head} ${term.body.map((literal) => this.literal(literal, indent)).join("; ")}${close}`;
    return `${head}\n${this.body(term.body, `${indent}\t`)}${indent}${close}`;
  }

  private templatePart(part: string | Term, indent: string): string {
    return typeof part === "string"
      ? quote(part).slice(1, -1).replace(/\{/g, "\\{")
      : `{${this.term(part, indent)}}`;
  }
}

function isUnion(term: Term | undefined): boolean {
  return term?.kind === "call" && term.operator && term.name.kind === "variable" && term.name.name === "or";
}
