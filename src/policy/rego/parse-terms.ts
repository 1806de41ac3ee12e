/** Terms: scalars, composites, comprehensions, references, calls and operators. */
import { type Body, type CallTerm, type Position, scalar, type Term } from "./ast.ts";
import { parseNumber } from "./decimal.ts";
import { syntaxError } from "./fault.ts";
import { type TemplatePart, tokenize } from "./lexer.ts";
import { parseLiterals } from "./parse-bodies.ts";
import { Cursor } from "./parse-cursor.ts";

/** Operators by rising precedence, with the builtin each stands for. */
const OPERATORS: readonly (readonly (readonly [string, string])[])[] = [
  [
    ["==", "equal"],
    ["!=", "neq"],
    ["<", "lt"],
    [">", "gt"],
    ["<=", "lte"],
    [">=", "gte"],
  ],
  [["|", "or"]],
  [["&", "and"]],
  [
    ["+", "plus"],
    ["-", "minus"],
  ],
  [
    ["*", "mul"],
    ["/", "div"],
    ["%", "rem"],
  ],
];

const BINARY: ReadonlyMap<string, { readonly level: number; readonly name: string }> = new Map(
  OPERATORS.flatMap((operators, level) =>
    operators.map(([symbol, name]) => [symbol, { level, name }] as const),
  ),
);

const WORDS = new Set(["null", "true", "false"]);

export function operatorCall(name: string, args: readonly Term[], at: Position): CallTerm {
  return { kind: "call", name: { kind: "variable", name, at }, operator: true, args, at };
}

/**
 * A term with operators, `in` included.
 *
 * @param keyValue whether `k, v in c` is read as one membership test; in a list the comma separates.
 */
export function parseTerm(cursor: Cursor, keyValue: boolean): Term {
  return cursor.nested(() => {
    let left = parseOperators(cursor, 0);
    if (keyValue && cursor.is(",")) {
      const pair = cursor.attempt(() => {
        const { at } = cursor.next();
        const value = parseOperators(cursor, 0);
        if (!cursor.takenKeyword("in")) return undefined;
        return operatorCall("internal.member_3", [left, value, parseOperators(cursor, 0)], at);
      });
      if (pair) left = pair;
    }
    while (cursor.isKeyword("in")) {
      const { at } = cursor.next();
      left = operatorCall("internal.member_2", [left, parseOperators(cursor, 0)], at);
    }
    return left;
  });
}

/** A term with the operators of `level` and tighter ones; those of one level are taken from the left. */
export function parseOperators(cursor: Cursor, level: number): Term {
  let left = parsePlainTerm(cursor);
  for (;;) {
    const { token } = cursor;
    const operator = token.kind === "symbol" ? BINARY.get(token.text) : undefined;
    if (operator === undefined || operator.level < level) return left;
    cursor.next();
    left = operatorCall(operator.name, [left, parseOperators(cursor, operator.level + 1)], token.at);
  }
}

/** A term without operators outside of brackets, with the references and calls that follow it. */
export function parsePlainTerm(cursor: Cursor): Term {
  return cursor.remembered(() => {
    const first = parsePrimary(cursor);
    return first.kind === "scalar" || first.kind === "template" ? first : parseSuffixes(cursor, first);
  });
}

/** `.name`, `[term]` and `(arguments)` after `first`, without space between. */
function parseSuffixes(cursor: Cursor, first: Term): Term {
  let term = first;
  for (;;) {
    if (cursor.isAdjacent("(")) {
      if (term.kind !== "variable" && term.kind !== "ref")
        throw cursor.unexpected("only a name can be called");
      const args = parseList(cursor, "(", ")");
      if (term.kind === "variable" && term.name === "set" && args.length === 0) {
        term = { kind: "set", items: [], at: term.at };
      } else {
        term = { kind: "call", name: term, operator: false, args, at: term.at };
      }
      continue;
    }
    const step = parsePathStep(cursor);
    if (!step) return term;
    term =
      term.kind === "ref"
        ? { ...term, path: [...term.path, step] }
        : { kind: "ref", head: term, path: [step], at: term.at };
  }
}

/** One `.name` or `[term]`, or undefined if none follows. */
export function parsePathStep(cursor: Cursor): Term | undefined {
  if (cursor.isAdjacent(".")) {
    cursor.next();
    const { token } = cursor;
    if (token.kind !== "name" || token.afterSpace) throw cursor.unexpected("a name follows '.'");
    cursor.next();
    return scalar(token.text, token.at);
  }
  if (!cursor.isAdjacent("[")) return undefined;
  cursor.next();
  const step = parseTerm(cursor, false);
  cursor.expect("]");
  return step;
}

/** Terms between brackets, separated by commas; one may trail. */
export function parseList(cursor: Cursor, open: string, close: string): Term[] {
  cursor.expect(open);
  const items: Term[] = [];
  while (!cursor.is(close)) {
    items.push(parseTerm(cursor, false));
    if (!cursor.taken(",")) break;
  }
  cursor.expect(close);
  return items;
}

function parsePrimary(cursor: Cursor): Term {
  const { token } = cursor;
  const { at } = token;
  switch (token.kind) {
    case "string":
      cursor.next();
      return scalar(token.text, at);
    case "number":
      cursor.next();
      return numberTerm(token.text, at);
    case "template":
      cursor.next();
      return { kind: "template", parts: (token.parts ?? []).map((part) => templatePart(cursor, part)), at };
    case "name":
      if (WORDS.has(token.text) && !cursor.beginsRef()) {
        cursor.next();
        return scalar(token.text === "null" ? null : token.text === "true", at);
      }
      return cursor.variable();
    case "symbol":
      return parseBracketed(cursor, at);
    case "end":
      throw cursor.unexpected("a term was expected");
  }
}

function parseBracketed(cursor: Cursor, at: Position): Term {
  switch (cursor.token.text) {
    case "[":
      return parseArray(cursor, at);
    case "{":
      return parseBraces(cursor, at);
    case "(": {
      cursor.next();
      const term = parseTerm(cursor, true);
      cursor.expect(")");
      return term;
    }
    case "-": {
      const number = cursor.peek(1);
      if (number.kind === "number" && !number.afterSpace) {
        cursor.next();
        cursor.next();
        return numberTerm(`-${number.text}`, at);
      }
      throw cursor.unexpected("a number follows a leading '-'");
    }
    case ".": {
      const fraction = cursor.peek(1);
      if (fraction.kind !== "number" || fraction.afterSpace || !/^\d+$/.test(fraction.text)) break;
      cursor.next();
      cursor.next();
      return numberTerm(`0.${fraction.text}`, at);
    }
  }
  throw cursor.unexpected("a term was expected");
}

function numberTerm(text: string, at: Position): Term {
  const value = parseNumber(text);
  if (value === undefined) throw syntaxError(at, "the number has too many digits");
  return scalar(value, at);
}

function templatePart(cursor: Cursor, part: TemplatePart): string | Term {
  if ("literal" in part) return part.literal;
  const { tokens } = tokenize(part.at.file, part.source, part.at);
  const inner = new Cursor(tokens, cursor.dialect, cursor.keywords, cursor.depth);
  const term = parseTerm(inner, true);
  if (inner.token.kind !== "end") throw inner.unexpected("one expression stands between braces");
  return term;
}

function parseArray(cursor: Cursor, at: Position): Term {
  const comprehension = cursor.attempt((): Term | undefined => {
    cursor.next();
    const head = parsePlainTerm(cursor);
    const body = parseComprehensionBody(cursor, "]");
    return body && { kind: "comprehension", of: "array", head, body, at };
  });
  return comprehension ?? { kind: "array", items: parseList(cursor, "[", "]"), at };
}

function parseBraces(cursor: Cursor, at: Position): Term {
  const comprehension = cursor.attempt((): Term | undefined => {
    cursor.next();
    const head = parsePlainTerm(cursor);
    if (cursor.is("|")) {
      const body = parseComprehensionBody(cursor, "}");
      return body && { kind: "comprehension", of: "set", head, body, at };
    }
    if (!cursor.taken(":")) return undefined;
    const value = parsePlainTerm(cursor);
    const body = parseComprehensionBody(cursor, "}");
    return body && { kind: "comprehension", of: "object", key: head, head: value, body, at };
  });
  if (comprehension) return comprehension;
  cursor.expect("{");
  if (cursor.taken("}")) return { kind: "object", fields: [], at };
  const first = parseTerm(cursor, false);
  if (cursor.is(":")) return { kind: "object", fields: parseFields(cursor, first), at };
  const items = [first];
  while (cursor.taken(",") && !cursor.is("}")) items.push(parseTerm(cursor, false));
  cursor.expect("}");
  return { kind: "set", items, at };
}

function parseFields(cursor: Cursor, first: Term): (readonly [Term, Term])[] {
  cursor.expect(":");
  const fields: (readonly [Term, Term])[] = [[first, parseTerm(cursor, false)]];
  while (cursor.taken(",") && !cursor.is("}")) {
    const key = parseTerm(cursor, false);
    cursor.expect(":");
    fields.push([key, parseTerm(cursor, false)]);
  }
  cursor.expect("}");
  return fields;
}

/** `| body close`, or undefined if no `|` is here. */
function parseComprehensionBody(cursor: Cursor, close: string): Body | undefined {
  if (!cursor.taken("|")) return undefined;
  return parseLiterals(cursor, close);
}
