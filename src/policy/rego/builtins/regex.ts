/** Regular expressions. Source: OPA policy reference, "Regex"; Go package regexp. */
import { type Builtin, type BuiltinCall, builtin, fault, smallInteger } from "../builtin-registry.ts";
import { globsIntersect } from "../regex/glob-intersection.ts";
import { type Match, Regex } from "../regex/regex.ts";
import { RegexFault } from "../regex/syntax.ts";
import type { Value } from "../values.ts";

/** Compiled expressions kept; policies use few and mostly constant ones. */
const MAX_KEPT = 200;
const kept = new Map<string, Regex>();

/** @throws BuiltinFault if `pattern` is no RE2 expression. */
export function compileRegex(name: string, pattern: string): Regex {
  const known = kept.get(pattern);
  if (known) return known;
  try {
    const regex = new Regex(pattern);
    if (kept.size >= MAX_KEPT) kept.clear();
    kept.set(pattern, regex);
    return regex;
  } catch (error) {
    if (error instanceof RegexFault) throw fault(name, `error parsing regexp: ${error.message}`);
    throw error;
  }
}

function text(value: Value | undefined): string {
  return typeof value === "string" ? value : "";
}

function group(match: Match, index: number, source: string): string {
  const start = match[2 * index] ?? -1;
  return start < 0 ? "" : source.slice(start, match[2 * index + 1]);
}

/** `$1`, `${name}` and `$$` in a replacement. Source: Go Regexp.Expand. */
function expand(template: string, match: Match, source: string, regex: Regex): string {
  return template.replace(
    /\$(?:\$|([A-Za-z0-9_]+)|\{([A-Za-z0-9_]+)\})/g,
    (all, plain?: string, braced?: string) => {
      const name = plain ?? braced;
      if (name === undefined) return all === "$$" ? "$" : all;
      if (/^\d+$/.test(name)) return group(match, Number(name), source);
      const index = regex.names.indexOf(name);
      return index < 0 ? "" : group(match, index, source);
    },
  );
}

function replace(source: string, regex: Regex, template: string, call: BuiltinCall): string {
  let result = "";
  let end = 0;
  for (const match of regex.findAll(source, -1, (steps) => call.run.spend(steps))) {
    const by = expand(template, match, source, regex);
    call.run.charge(by.length >> 4);
    result += source.slice(end, match[0]) + by;
    end = match[1] ?? end;
  }
  return result + source.slice(end);
}

function split(source: string, regex: Regex, pattern: string, call: BuiltinCall): Value {
  if (pattern !== "" && source === "") return [""];
  const parts: string[] = [];
  let begin = 0;
  let end = 0;
  for (const match of regex.findAll(source, -1, (steps) => call.run.spend(steps))) {
    end = match[0] ?? 0;
    if (match[1] !== 0) parts.push(source.slice(begin, end));
    begin = match[1] ?? begin;
  }
  if (end !== source.length) parts.push(source.slice(begin));
  return parts;
}

/** A pattern whose parts between the delimiters are expressions and all else is literal. */
function templatePattern(template: string, open: string, close: string): string {
  const quote = (literal: string) => literal.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");
  let pattern = "^";
  let at = 0;
  for (let start = template.indexOf(open); start >= 0; start = template.indexOf(open, at)) {
    let depth = 1;
    let end = start + open.length;
    for (; end < template.length; end++) {
      if (template.startsWith(close, end) && --depth === 0) break;
      if (template.startsWith(open, end)) depth++;
    }
    if (depth > 0) throw fault("regex.template_match", `unbalanced braces in ${JSON.stringify(template)}`);
    pattern += `${quote(template.slice(at, start))}(${template.slice(start + open.length, end)})`;
    at = end + close.length;
  }
  if (template.includes(close, at))
    throw fault("regex.template_match", `unbalanced braces in ${JSON.stringify(template)}`);
  return `${pattern}${quote(template.slice(at))}$`;
}

function match(name: string): Builtin {
  return builtin(name, "s,s", ([pattern, value], { run }) =>
    compileRegex(name, text(pattern)).test(text(value), (steps) => run.spend(steps)),
  );
}

export const REGEXES = [
  match("regex.match"),
  match("re_match"),
  builtin("regex.is_valid", "*", ([pattern]) => {
    if (typeof pattern !== "string") return false;
    try {
      new Regex(pattern);
      return true;
    } catch (error) {
      if (error instanceof RegexFault) return false;
      throw error;
    }
  }),
  builtin("regex.split", "s,s", ([pattern, value], call) =>
    split(text(value), compileRegex("regex.split", text(pattern)), text(pattern), call),
  ),
  builtin("regex.replace", "s,s,s", ([value, pattern, template], call) =>
    replace(text(value), compileRegex("regex.replace", text(pattern)), text(template), call),
  ),
  builtin("regex.find_n", "s,s,n", ([pattern, value, count], { run }) => {
    const limit = smallInteger(count) ?? -1;
    const source = text(value);
    const matches = compileRegex("regex.find_n", text(pattern)).findAll(source, limit, (steps) =>
      run.spend(steps),
    );
    return matches.map((found) => group(found, 0, source));
  }),
  builtin("regex.find_all_string_submatch_n", "s,s,n", ([pattern, value, count], { run }) => {
    const name = "regex.find_all_string_submatch_n";
    const source = text(value);
    const regex = compileRegex(name, text(pattern));
    const matches = regex.findAll(source, smallInteger(count) ?? -1, (steps) => run.spend(steps));
    run.charge(matches.length * regex.names.length);
    return matches.map((found) => regex.names.map((_, index) => group(found, index, source)));
  }),
  builtin("regex.template_match", "s,s,s,s", ([template, value, open, close], { run }) => {
    const name = "regex.template_match";
    if (text(open).length !== 1 || text(close).length !== 1)
      throw fault(name, "delimiters have one character each");
    const pattern = templatePattern(text(template), text(open), text(close));
    return compileRegex(name, pattern).test(text(value), (steps) => run.spend(steps));
  }),
  builtin("regex.globs_match", "s,s", ([a, b], { run }) => {
    try {
      return globsIntersect(text(a), text(b), (steps) => run.spend(steps));
    } catch (error) {
      if (error instanceof RegexFault) throw fault("regex.globs_match", error.message);
      throw error;
    }
  }),
];
