/** Checking one value against its row of the table, whether it comes from a file or from an annotation. */
import type { Key, TextTable } from "./key.ts";
import { isTree } from "./source.ts";

export type Checked =
  | { readonly ok: true; readonly value: Key["default"] }
  | { readonly ok: false; readonly why: string };

/** Most items of a list, and longest text of one value. */
const MAX_ITEMS = 1024;
const MAX_TEXT_LENGTH = 1 << 20;

const good = (value: Key["default"]): Checked => ({ ok: true, value });
const bad = (why: string): Checked => ({ ok: false, why });

function describe(value: unknown): string {
  if (typeof value === "string") return `text ${JSON.stringify(value.slice(0, 60))}`;
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  return typeof value === "object" ? "a table" : String(value);
}

/** `value`, as a file has it, for `key`. */
export function checkValue(key: Key, value: unknown): Checked {
  switch (key.kind) {
    case "text":
      return typeof value === "string" ? checkText(key, value) : bad(`expected text, got ${describe(value)}`);
    case "flag":
      return typeof value === "boolean" ? good(value) : bad(`expected true or false, got ${describe(value)}`);
    case "integer":
    case "number":
      return checkNumber(key, value);
    case "texts":
      return checkTexts(key, value);
    case "tables":
      return checkTables(value);
    case "table":
      return isTree(value) ? good(value) : bad(`expected a table, got ${describe(value)}`);
  }
}

function checkText(key: Key, value: string): Checked {
  if (value.includes("\0")) return bad("it holds a NUL");
  if (value.length > MAX_TEXT_LENGTH) return bad(`it is longer than ${MAX_TEXT_LENGTH} characters`);
  if (key.oneOf !== undefined && !key.oneOf.includes(value)) {
    return bad(
      `expected one of ${key.oneOf.map((word) => JSON.stringify(word)).join(", ")}, got ${describe(value)}`,
    );
  }
  if (key.path === true && value !== "") {
    if (!value.startsWith("/")) return bad(`expected an absolute path, got ${describe(value)}`);
    if (value.split("/").includes("..")) return bad(`expected a path without .., got ${describe(value)}`);
  }
  return good(value);
}

function checkNumber(key: Key, value: unknown): Checked {
  const what = key.kind === "integer" ? "an integer" : "a number";
  const fits =
    typeof value === "number" && Number.isFinite(value) && (key.kind === "number" || Number.isInteger(value));
  if (!fits) return bad(`expected ${what}, got ${describe(value)}`);
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = key;
  if (value < min) return bad(`${value} is below ${min}`);
  if (value > max) return bad(`${value} is above ${max}`);
  return good(value);
}

function checkTexts(key: Key, value: unknown): Checked {
  if (!Array.isArray(value)) return bad(`expected a list of texts, got ${describe(value)}`);
  if (value.length > MAX_ITEMS) return bad(`it has more than ${MAX_ITEMS} items`);
  const items: string[] = [];
  for (const item of value) {
    if (typeof item !== "string") return bad(`expected a list of texts, got ${describe(item)} in it`);
    const checked = checkText(key, item);
    if (!checked.ok) return checked;
    items.push(item);
  }
  return good(items);
}

function checkTables(value: unknown): Checked {
  if (!Array.isArray(value)) return bad(`expected a list of tables, got ${describe(value)}`);
  if (value.length > MAX_ITEMS) return bad(`it has more than ${MAX_ITEMS} items`);
  const items: TextTable[] = [];
  for (const item of value) {
    if (!isTree(item)) return bad(`expected a list of tables, got ${describe(item)} in it`);
    const fields: Record<string, string> = {};
    for (const [name, field] of Object.entries(item)) {
      if (typeof field !== "string") return bad(`expected text for ${name}, got ${describe(field)}`);
      fields[name] = field;
    }
    items.push(fields);
  }
  return good(items);
}

const TRUE = ["1", "t", "true"];
const FALSE = ["0", "f", "false"];

/** `text`, the value of an annotation, for `key`. */
export function readAnnotationValue(key: Key, text: string): Checked {
  if (text.length > MAX_TEXT_LENGTH) return bad(`it is longer than ${MAX_TEXT_LENGTH} characters`);
  switch (key.kind) {
    case "text":
      return checkText(key, text);
    case "flag": {
      const word = text.trim().toLowerCase();
      if (TRUE.includes(word)) return good(true);
      return FALSE.includes(word) ? good(false) : bad(`expected true or false, got ${describe(text)}`);
    }
    case "integer":
    case "number":
      return /^\s*-?\d+(\.\d+)?\s*$/.test(text) ? checkNumber(key, Number(text)) : checkNumber(key, text);
    case "texts":
      if (key.separator === undefined) return checkValue(key, parseJson(text));
      return checkTexts(key, splitItems(text, key.separator));
    case "tables":
    case "table":
      return checkValue(key, parseJson(text));
  }
}

function splitItems(text: string, separator: string): string[] {
  return text
    .split(separator)
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/** The JSON value of `text`; `text` itself if it is no JSON, which then is of no list's or table's kind. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}
