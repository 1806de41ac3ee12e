/** Bodies: the expressions that a rule, a comprehension or a query must satisfy. */
import type { Body, Literal, LiteralForm, Term, VariableTerm, WithModifier } from "./ast.ts";
import { syntaxError } from "./fault.ts";
import type { Cursor } from "./parse-cursor.ts";
import { operatorCall, parseOperators, parsePlainTerm, parseTerm } from "./parse-terms.ts";

/** `{ body }`. */
export function parseBracedBody(cursor: Cursor): Body {
  cursor.expect("{");
  return parseLiterals(cursor, "}");
}

/**
 * Expressions up to `close`, which is taken as well; `undefined` stands for the end of the text.
 * A line break or `;` separates them.
 */
export function parseLiterals(cursor: Cursor, close: string | undefined): Body {
  const body: Literal[] = [];
  const closed = () => (close === undefined ? cursor.token.kind === "end" : cursor.is(close));
  while (cursor.taken(";"));
  while (!closed()) {
    body.push(parseLiteral(cursor));
    let separated = closed();
    while (cursor.taken(";")) separated = true;
    if (!separated && !cursor.token.afterNewline)
      throw cursor.unexpected("expected a new line, ';' or the end of the body");
  }
  if (body.length === 0) throw cursor.unexpected("a body has at least one expression");
  cursor.next();
  return body;
}

export function parseLiteral(cursor: Cursor): Literal {
  return cursor.nested(() => {
    const { at } = cursor.token;
    const isLogical = cursor.keywords.has("and") || cursor.keywords.has("or");
    const { form, negated } = isLogical ? parseLogic(cursor, "or", true) : parseNegatable(cursor);
    if (negated && form.kind === "some") throw syntaxError(at, "a declaration cannot be negated");
    const modifiers: WithModifier[] = [];
    while (cursor.isKeyword("with")) {
      if (form.kind === "some") throw syntaxError(cursor.token.at, "a declaration takes no 'with'");
      modifiers.push(parseModifier(cursor));
    }
    return { ...form, negated, modifiers, at };
  });
}

interface Operand {
  readonly form: LiteralForm;
  readonly negated: boolean;
}

/** `a or b`, with `and` binding tighter; a lone operand is left as it is. */
function parseLogic(cursor: Cursor, operator: "and" | "or", isFirst: boolean): Operand {
  const parse = (isAlone: boolean) =>
    operator === "or" ? parseLogic(cursor, "and", isAlone) : parseOperand(cursor, isAlone);
  const first = parse(isFirst);
  if (!cursor.isKeyword(operator)) return first;
  const operands = [bodyOf(cursor, first)];
  while (cursor.takenKeyword(operator)) operands.push(bodyOf(cursor, parse(false)));
  return { form: { kind: "logic", operator, operands }, negated: false };
}

/** An operand as a body of its own; braces are their body. */
function bodyOf(cursor: Cursor, { form, negated }: Operand): Body {
  const [only] = form.kind === "logic" ? form.operands : [];
  if (form.kind === "logic" && form.operands.length === 1 && only && !negated) return only;
  return [{ ...form, negated, modifiers: [], at: cursor.previous.at }];
}

function parseOperand(cursor: Cursor, isFirst: boolean): Operand {
  return parseGroup(cursor) ?? parseBlock(cursor, isFirst) ?? parseNegatable(cursor);
}

/** `(a or b)`; parentheses around a plain term belong to the term. */
function parseGroup(cursor: Cursor): Operand | undefined {
  if (!cursor.is("(")) return undefined;
  return cursor.attempt((): Operand | undefined => {
    cursor.next();
    const inner = parseLiteral(cursor);
    if (!cursor.taken(")")) return undefined;
    if (inner.kind === "term" && !inner.negated && inner.modifiers.length === 0) return undefined;
    return { form: { kind: "logic", operator: "and", operands: [[inner]] }, negated: false };
  });
}

/** `{ a; b }` beside an operator; elsewhere braces are a set or an object. */
function parseBlock(cursor: Cursor, isFirst: boolean): Operand | undefined {
  if (!cursor.is("{")) return undefined;
  return cursor.attempt((): Operand | undefined => {
    const body = parseBracedBody(cursor);
    if (isFirst && !cursor.isKeyword("and") && !cursor.isKeyword("or")) return undefined;
    return { form: { kind: "logic", operator: "and", operands: [body] }, negated: false };
  });
}

function parseNegatable(cursor: Cursor): Operand {
  if (!cursor.takenKeyword("not")) return { form: parseForm(cursor), negated: false };
  const group = cursor.keywords.has("and") || cursor.keywords.has("or") ? parseGroup(cursor) : undefined;
  if (group) return { form: group.form, negated: true };
  if (!cursor.keywords.has("not")) return { form: parseForm(cursor), negated: true };
  const { at } = cursor.token;
  const body: Body = cursor.is("{")
    ? parseBracedBody(cursor)
    : [{ ...parseForm(cursor), negated: false, modifiers: [], at }];
  return { form: { kind: "logic", operator: "and", operands: [body] }, negated: true };
}

function parseModifier(cursor: Cursor): WithModifier {
  const { at } = cursor.next();
  const target = parsePlainTerm(cursor);
  if (target.kind !== "variable" && target.kind !== "ref")
    throw syntaxError(target.at, "'with' replaces a reference");
  if (!cursor.takenKeyword("as")) throw cursor.unexpected("'as' follows the target of 'with'");
  return { target, value: parseTerm(cursor, false), at };
}

function parseForm(cursor: Cursor): LiteralForm {
  if (cursor.isKeyword("some")) return parseSome(cursor);
  if (cursor.isKeyword("every")) return parseEvery(cursor);
  const left = parseTerm(cursor, true);
  if (!cursor.is(":=") && !cursor.is("=")) return { kind: "term", term: left };
  const { at, text } = cursor.next();
  const right = parseTerm(cursor, true);
  return { kind: "term", term: operatorCall(text === "=" ? "eq" : "assign", [left, right], at) };
}

function parseSome(cursor: Cursor): LiteralForm {
  cursor.next();
  const membership = cursor.attempt((): LiteralForm | undefined => {
    const first = parseOperators(cursor, 0);
    const second = cursor.taken(",") ? parseOperators(cursor, 0) : undefined;
    if (!cursor.takenKeyword("in")) return undefined;
    const collection = parseOperators(cursor, 0);
    if (second) return { kind: "some-in", key: first, value: second, collection };
    return { kind: "some-in", value: first, collection };
  });
  if (membership) return membership;
  const names: VariableTerm[] = [];
  do names.push(cursor.variable());
  while (cursor.taken(","));
  if (cursor.isWord("in")) throw cursor.unexpected("'some … in' takes one or two terms before 'in'");
  return { kind: "some", names };
}

function parseEvery(cursor: Cursor): LiteralForm {
  cursor.next();
  const first = cursor.variable();
  const second = cursor.taken(",") ? cursor.variable() : undefined;
  if (!cursor.takenKeyword("in")) throw cursor.unexpected("'in' follows the variables of 'every'");
  const collection: Term = parseOperators(cursor, 0);
  const body = parseBracedBody(cursor);
  if (second) return { kind: "every", key: first, value: second, collection, body };
  return { kind: "every", value: first, collection, body };
}
