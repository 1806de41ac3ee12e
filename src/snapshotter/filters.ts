/**
 * Filters of containerd's lists: `SELECTOR,SELECTOR…` with `FIELD`, `FIELD==VALUE`, `FIELD!=VALUE` or `FIELD~=EXPRESSION`; all selectors of
 * one filter hold, and any filter of a list.
 *
 * Source: containerd, pkg/filters, the grammar in its documentation.
 */
import { KataError } from "../kata-error.ts";
import type { Snapshot } from "./snapshot.ts";

const SELECTOR =
  /(?:^|,)((?:[\w-]+|"(?:[^"\\]|\\.)*")(?:\.(?:[\w./-]+|"(?:[^"\\]|\\.)*"))*)(?:(==|!=|~=)((?:"(?:[^"\\]|\\.)*"|[^,"]*)))?/y;
const MAX_FILTER_CHARACTERS = 16_384;

/** Whether a snapshot is asked for. @throws KataError `invalid-argument` for what is no filter. */
export function matcherOf(filters: readonly string[]): (snapshot: Snapshot) => boolean {
  const alternatives = filters.map(parseFilter);
  return (snapshot) =>
    alternatives.length === 0 ||
    alternatives.some((selectors) => selectors.every((holds) => holds(snapshot)));
}

type Selector = (snapshot: Snapshot) => boolean;

function parseFilter(filter: string): Selector[] {
  const refuse = () =>
    new KataError("invalid-argument", {
      operation: "read filter",
      object: JSON.stringify(filter.slice(0, 200)),
    });
  if (filter.length > MAX_FILTER_CHARACTERS) throw refuse();
  const selectors: Selector[] = [];
  SELECTOR.lastIndex = 0;
  for (let at = 0; at < filter.length; at = SELECTOR.lastIndex) {
    const found = SELECTOR.exec(filter);
    if (found === null || SELECTOR.lastIndex === at) throw refuse();
    const [, path = "", operator, value = ""] = found;
    selectors.push(selectorOf(path, operator, unquoted(value), refuse));
  }
  return selectors;
}

function selectorOf(
  path: string,
  operator: string | undefined,
  value: string,
  refuse: () => KataError,
): Selector {
  switch (operator) {
    case undefined:
      return (snapshot) => fieldOf(snapshot, path) !== undefined;
    case "==":
      return (snapshot) => fieldOf(snapshot, path) === value;
    case "!=":
      return (snapshot) => fieldOf(snapshot, path) !== value;
    default: {
      let expression: RegExp;
      try {
        expression = new RegExp(value, "u");
      } catch (error) {
        if (error instanceof SyntaxError) throw refuse();
        throw error;
      }
      return (snapshot) => expression.test(fieldOf(snapshot, path) ?? "");
    }
  }
}

function fieldOf(snapshot: Snapshot, path: string): string | undefined {
  const dot = path.indexOf(".");
  const field = dot < 0 ? path : path.slice(0, dot);
  switch (field) {
    case "name":
      return snapshot.key;
    case "parent":
      return snapshot.parent;
    case "kind":
      return snapshot.kind;
    case "labels":
      return dot < 0 ? undefined : snapshot.labels[unquoted(path.slice(dot + 1))];
    default:
      return undefined;
  }
}

function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
}
