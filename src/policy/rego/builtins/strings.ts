/** Strings. Offsets count code points. Source: OPA policy reference, "Strings". */

import { builtin, clampedInteger, fault, objectOf, smallInteger, stringsOf } from "../builtin-registry.ts";
import type { Run } from "../evaluation.ts";
import { isArray, RegoSet, type Value } from "../values.ts";
import { codePointsBefore, isSimple, sliceCodePoints } from "./code-points.ts";
import { lowerCase, upperCase } from "./letter-case.ts";
import { sprintf } from "./sprintf.ts";

function text(value: Value | undefined): string {
  if (typeof value === "string") return value;
  throw fault("string operation", "a string was expected");
}

/** A builtin of strings alone. */
function onStrings(
  name: string,
  count: number,
  compute: (a: string, b: string, c: string, run: Run) => Value | undefined,
) {
  const signature = new Array(count).fill("s").join(",");
  return builtin(name, signature, ([a, b = "", c = ""], { run }) => compute(text(a), text(b), text(c), run));
}

function trimStart(value: string, cut: ReadonlySet<string>): string {
  let at = 0;
  for (const point of value) {
    if (!cut.has(point)) break;
    at += point.length;
  }
  return value.slice(at);
}

function trimEnd(value: string, cut: ReadonlySet<string>): string {
  const points = isSimple(value) ? value : [...value];
  let end = points.length;
  while (end > 0 && cut.has(points[end - 1] as string)) end--;
  return typeof points === "string" ? points.slice(0, end) : points.slice(0, end).join("");
}

function replaceAll(value: string, old: string, by: string, run: Run): string {
  if (old !== "" && !value.includes(old)) return value;
  const parts = value.split(old);
  run.charge((parts.length * by.length) >> 4);
  if (old === "") return by + [...value].map((point) => point + by).join("");
  return parts.join(by);
}

function offsets(value: string, part: string): number[] {
  const found: number[] = [];
  if (part === "") return found;
  for (let at = value.indexOf(part); at >= 0; at = value.indexOf(part, at + 1))
    found.push(codePointsBefore(value, at));
  return found;
}

function split(value: string, separator: string): string[] {
  return separator === "" ? [...value] : value.split(separator);
}

/** The first `count` parts, or the last ones if `count` is negative. */
function splitSome(value: string, separator: string, count: number): string[] {
  const parts = split(value, separator);
  return count < 0 ? parts.slice(count) : parts.slice(0, count);
}

/** The strings in an operand that is one string or a collection of them. */
function someStrings(name: string, index: number, value: Value | undefined): readonly string[] {
  if (typeof value === "string") return [value];
  if (isArray(value) || value instanceof RegoSet) return stringsOf(name, index, value);
  throw fault(name, `operand ${index + 1} must be a string or a collection of strings`);
}

function anyMatch(name: string, test: (value: string, affix: string) => boolean) {
  return builtin(name, "saS,saS", ([values, affixes], { run }) => {
    const list = someStrings(name, 1, affixes);
    return someStrings(name, 0, values).some((value) => {
      run.spend(list.length);
      return list.some((affix) => test(value, affix));
    });
  });
}

const FIELD = /\{\{\s*\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}/g;

/** Go's text/template with nothing but fields, which is what policies use it for. */
function renderTemplate(template: string, fields: ReturnType<typeof objectOf>): string {
  const [action] = template.replace(FIELD, "").match(/\{\{.*?(?:\}\}|$)/s) ?? [];
  if (action !== undefined) throw fault("strings.render_template", `${action}: only fields are rendered`);
  return template.replace(FIELD, (_, name: string) => {
    const value = fields.get(name);
    return value === undefined ? "<undefined>" : sprintf("%v", [value]);
  });
}

/** What Go takes for white space; unlike JavaScript's trim it keeps the byte-order mark. */
const SPACES: ReadonlySet<string> = new Set(
  "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000",
);

export const STRINGS = [
  builtin("concat", "s,aS", ([separator, values], { run }) => {
    const strings = stringsOf("concat", 1, values as Value);
    run.charge(strings.length + ((strings.length * text(separator).length) >> 4));
    return strings.join(text(separator));
  }),
  onStrings("contains", 2, (value, part) => value.includes(part)),
  onStrings("startswith", 2, (value, part) => value.startsWith(part)),
  onStrings("endswith", 2, (value, part) => value.endsWith(part)),
  onStrings("lower", 1, lowerCase),
  onStrings("upper", 1, upperCase),
  onStrings("indexof", 2, (value, part) => {
    // The agent's users know -1 from upstream's engine; OPA reports an error.
    const at = part === "" ? -1 : value.indexOf(part);
    return at < 0 ? -1 : codePointsBefore(value, at);
  }),
  onStrings("indexof_n", 2, (value, part) => offsets(value, part)),
  onStrings("replace", 3, replaceAll),
  onStrings("split", 2, (value, separator) => split(value, separator)),
  builtin("strings.split_n", "s,s,n", ([value, separator, count]) => {
    const wanted = clampedInteger(count);
    if (wanted === undefined) throw fault("strings.split_n", "operand 3 must be integer number");
    return splitSome(text(value), text(separator), wanted);
  }),
  builtin("substring", "s,n,n", ([value, offset, length]) => {
    const start = smallInteger(offset);
    const count = smallInteger(length);
    if (start === undefined || count === undefined) return undefined;
    if (start < 0) throw fault("substring", "negative offset");
    return sliceCodePoints(text(value), start, count < 0 ? Number.POSITIVE_INFINITY : start + count);
  }),
  onStrings("trim", 2, (value, cut) => trimEnd(trimStart(value, new Set(cut)), new Set(cut))),
  onStrings("trim_left", 2, (value, cut) => trimStart(value, new Set(cut))),
  onStrings("trim_right", 2, (value, cut) => trimEnd(value, new Set(cut))),
  onStrings("trim_prefix", 2, (value, part) => (value.startsWith(part) ? value.slice(part.length) : value)),
  onStrings("trim_suffix", 2, (value, part) =>
    part !== "" && value.endsWith(part) ? value.slice(0, -part.length) : value,
  ),
  onStrings("trim_space", 1, (value) => trimEnd(trimStart(value, SPACES), SPACES)),
  onStrings("strings.reverse", 1, (value) => [...value].reverse().join("")),
  onStrings("strings.count", 2, (value, part) =>
    part === "" ? [...value].length + 1 : value.split(part).length - 1,
  ),
  builtin("strings.replace_n", "o,s", ([patterns, value], { run }) => {
    const pairs: [string, string][] = [];
    for (const [old, by] of objectOf("strings.replace_n", patterns).entries()) {
      if (typeof old !== "string" || typeof by !== "string")
        throw fault("strings.replace_n", "keys and values must be strings");
      pairs.push([old, by]);
    }
    return replaceMany(text(value), pairs, run);
  }),
  anyMatch("strings.any_prefix_match", (value, affix) => value.startsWith(affix)),
  anyMatch("strings.any_suffix_match", (value, affix) => value.endsWith(affix)),
  builtin("strings.render_template", "s,o", ([template, fields]) =>
    renderTemplate(text(template), objectOf("strings.render_template", fields)),
  ),
  builtin("sprintf", "s,a", ([format, args], { run }) => {
    const result = sprintf(text(format), isArray(args) ? args : []);
    run.charge(result.length >> 4);
    return result;
  }),
];

/** Replaces left to right in one pass; at one place the first pair that matches wins. */
function replaceMany(value: string, pairs: readonly (readonly [string, string])[], run: Run): string {
  let result = "";
  // An empty pattern matches once at each place.
  let emptyAt = -1;
  for (let at = 0; at <= value.length; ) {
    run.spend(1);
    const pair = pairs.find(([old]) => value.startsWith(old, at) && !(old === "" && at === emptyAt));
    if (pair) {
      result += pair[1];
      at += pair[0].length;
      if (pair[0] === "") emptyAt = at;
      run.charge(pair[1].length >> 4);
    }
    if (!pair) {
      const point = String.fromCodePoint(value.codePointAt(at) ?? 0);
      if (at < value.length) result += point;
      at += point.length;
    }
  }
  return result;
}
