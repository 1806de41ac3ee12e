/** Rules: heads of every shape, bodies, `else` branches. Source: OPA policy reference, "Grammar"; v0 forms: OPA 0.70. */
import { type Body, type ElseBranch, type Rule, type RuleHead, scalar, type Term } from "./ast.ts";
import { syntaxError } from "./fault.ts";
import { parseBracedBody, parseLiteral } from "./parse-bodies.ts";
import type { Cursor } from "./parse-cursor.ts";
import { parseList, parsePathStep, parseTerm } from "./parse-terms.ts";

/** One rule as written; v0's `p { a } { b }` gives two. */
export function parseRules(cursor: Cursor): Rule[] {
  const { at } = cursor.token;
  if (cursor.takenKeyword("default")) return [parseDefault(cursor, at)];
  const parsed = parseHead(cursor);
  const hasIf = cursor.isKeyword("if");
  const head = settleHead(cursor, parsed, hasIf);
  const body = parseRuleBody(cursor);
  if (!body && !head.value && !head.element) {
    throw syntaxError(at, "a rule has a value, an element or a body; a lone name is none");
  }
  const otherwise: ElseBranch[] = [];
  while (cursor.isKeyword("else")) {
    if (head.element) throw syntaxError(cursor.token.at, "'else' cannot be used on multi-value rules");
    if (!body) throw syntaxError(cursor.token.at, "'else' needs a rule with a body before it");
    otherwise.push(parseElse(cursor));
  }
  const rules: Rule[] = [
    { isDefault: false, head, ...(body ? { body } : {}), otherwise, at, endLine: cursor.previous.endLine },
  ];
  while (cursor.dialect === "v0" && body && otherwise.length === 0 && !hasIf && cursor.is("{")) {
    const { at: bodyAt } = cursor.token;
    const more = parseBracedBody(cursor);
    rules.push({
      isDefault: false,
      head,
      body: more,
      otherwise: [],
      at: bodyAt,
      endLine: cursor.previous.endLine,
    });
  }
  return rules;
}

function parseDefault(cursor: Cursor, at: Rule["at"]): Rule {
  const head = parseHead(cursor);
  if (head.element) throw syntaxError(at, "default rules cannot be multi-value");
  if (!head.value) throw syntaxError(at, "default rules must have a value");
  const illegal = nonConstant(head.value);
  if (illegal) throw syntaxError(illegal.at, `illegal default rule (value cannot contain ${illegal.kind})`);
  if (cursor.is("{") || cursor.isKeyword("if")) throw cursor.unexpected("default rules have no body");
  for (const step of head.path.slice(1)) {
    if (step.kind !== "scalar")
      throw syntaxError(step.at, "default rules cannot have variables in their name");
  }
  const names = new Set<string>();
  for (const arg of head.args ?? []) {
    if (arg.kind !== "variable") throw syntaxError(arg.at, "arguments of a default function are variables");
    if (names.has(arg.name)) throw syntaxError(arg.at, "arguments of a default function cannot be repeated");
    names.add(arg.name);
  }
  return { isDefault: true, head, otherwise: [], at, endLine: cursor.previous.endLine };
}

/** The part of a default value that is neither constant nor a comprehension. */
function nonConstant(term: Term): Term | undefined {
  switch (term.kind) {
    case "scalar":
    case "comprehension":
      return undefined;
    case "array":
    case "set":
      return firstOf(term.items);
    case "object":
      return firstOf(term.fields.flat());
    default:
      return term;
  }
}

function firstOf(terms: readonly Term[]): Term | undefined {
  for (const term of terms) {
    const found = nonConstant(term);
    if (found) return found;
  }
  return undefined;
}

function parseHead(cursor: Cursor): RuleHead {
  const { at } = cursor.token;
  const name = cursor.variable();
  if (name.name.startsWith("$")) throw syntaxError(at, "a rule cannot be named '_'");
  const path: Term[] = [scalar(name.name, at)];
  for (let step = parsePathStep(cursor); step; step = parsePathStep(cursor)) path.push(step);
  // `f()` is a complete rule in OPA: without parameters there is nothing to call.
  const args = cursor.isAdjacent("(") ? parseList(cursor, "(", ")") : [];
  let element: Term | undefined;
  if (cursor.isKeyword("contains")) {
    if (args.length > 0) throw cursor.unexpected("a function cannot be a multi-value rule");
    cursor.next();
    element = parseTerm(cursor, false);
  }
  const assigned = cursor.is(":=");
  let value: Term | undefined;
  if (assigned || cursor.is("=")) {
    if (element) throw cursor.unexpected("a rule with 'contains' has no value");
    cursor.next();
    value = parseTerm(cursor, false);
  }
  return {
    path,
    ...(args.length > 0 ? { args } : {}),
    ...(element ? { element } : {}),
    ...(value ? { value } : {}),
    assigned,
    at,
  };
}

/** Applies the older meaning of `p[x] { … }`: a set with the element x. */
function settleHead(cursor: Cursor, head: RuleHead, hasIf: boolean): RuleHead {
  const last = head.path[1];
  const isOldSet = !hasIf && !head.element && !head.args && !head.value && head.path.length === 2 && last;
  if (!isOldSet) return head;
  if (cursor.dialect === "v1")
    throw syntaxError(head.at, "'contains' keyword is required for partial set rules");
  return { ...head, path: head.path.slice(0, 1), element: last };
}

function parseRuleBody(cursor: Cursor): Body | undefined {
  if (cursor.is("{")) {
    if (cursor.dialect === "v1") throw cursor.unexpected("'if' keyword is required before rule body");
    return parseBracedBody(cursor);
  }
  if (!cursor.takenKeyword("if")) return undefined;
  if (!cursor.is("{")) return [parseLiteral(cursor)];
  // `if { 1 | true }` is a comprehension, `if {"a": 1}` an object; a set literal could not be told from a body.
  const literal = cursor.attempt(() => {
    const found = parseLiteral(cursor);
    const ends = cursor.token.kind === "end" || cursor.token.afterNewline || cursor.isKeyword("else");
    return ends && !(found.kind === "term" && found.term.kind === "set") ? found : undefined;
  });
  return literal ? [literal] : parseBracedBody(cursor);
}

function parseElse(cursor: Cursor): ElseBranch {
  const { at } = cursor.next();
  const assigned = cursor.is(":=");
  let value: Term | undefined;
  if (assigned || cursor.is("=")) {
    cursor.next();
    value = parseTerm(cursor, false);
  }
  const body = parseRuleBody(cursor);
  if (!body && !value) throw cursor.unexpected("'else' has a value or a body");
  return { ...(value ? { value } : {}), ...(body ? { body } : {}), assigned, at };
}
