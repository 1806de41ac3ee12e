/** Glob patterns. Source: OPA policy reference, "Glob"; the pattern language of gobwas/glob. */
import { builtin, fault, stringsOf } from "../builtin-registry.ts";
import type { Value } from "../values.ts";
import { compileRegex } from "./regex.ts";

/** The regular expression of a glob; `*` and `?` stop at `separators`. */
export function globPattern(glob: string, separators: readonly string[]): string {
  const single = separators.length === 0 ? "(?s:.)" : `[^${separators.map(quoteInClass).join("")}]`;
  const points = [...glob];
  let pattern = "^";
  let depth = 0;
  for (let at = 0; at < points.length; at++) {
    const point = points[at] ?? "";
    if (point === "*") {
      const isSuper = points[at + 1] === "*";
      while (points[at + 1] === "*") at++;
      pattern += isSuper ? "(?s:.)*" : `${single}*`;
    } else if (point === "?") {
      pattern += single;
    } else if (point === "\\") {
      const escaped = points[++at];
      if (escaped === undefined) throw fault("glob.match", "nothing follows the last backslash");
      pattern += quote(escaped);
    } else if (point === "{") {
      pattern += "(?:";
      depth++;
    } else if (point === "}" && depth > 0) {
      pattern += ")";
      depth--;
    } else if (point === "," && depth > 0) {
      pattern += "|";
    } else if (point === "[") {
      const end = points.indexOf("]", at + 2);
      if (end < 0) throw fault("glob.match", "missing closing ]");
      pattern += classPattern(points.slice(at + 1, end));
      at = end;
    } else {
      pattern += quote(point);
    }
  }
  if (depth > 0) throw fault("glob.match", "missing closing }");
  return `${pattern}$`;
}

function classPattern(points: readonly string[]): string {
  const inverted = points[0] === "!";
  const members = inverted ? points.slice(1) : points;
  const isRange = members.length === 3 && members[1] === "-";
  const body = isRange
    ? `${quoteInClass(members[0] ?? "")}-${quoteInClass(members[2] ?? "")}`
    : members
        .filter((point) => point !== "\\")
        .map(quoteInClass)
        .join("");
  return `[${inverted ? "^" : ""}${body}]`;
}

function quote(literal: string): string {
  return literal.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");
}

function quoteInClass(literal: string): string {
  return literal.replace(/[\\\]^[-]/g, "\\$&");
}

function separators(value: Value | undefined): readonly string[] {
  if (value === null || value === undefined) return [];
  const given = stringsOf("glob.match", 1, value);
  if (given.some((one) => [...one].length !== 1)) throw fault("glob.match", "a delimiter is one character");
  return given.length === 0 ? ["."] : given;
}

export const GLOBS = [
  builtin("glob.match", "s,za,s", ([pattern, delimiters, value], { run }) => {
    if (typeof pattern !== "string" || typeof value !== "string") return undefined;
    const regex = compileRegex("glob.match", globPattern(pattern, separators(delimiters)));
    return regex.test(value, (steps) => run.spend(steps));
  }),
  builtin("glob.quote_meta", "s", ([pattern]) =>
    typeof pattern === "string" ? pattern.replace(/[*?\\[\]{}]/g, "\\$&") : undefined,
  ),
];
