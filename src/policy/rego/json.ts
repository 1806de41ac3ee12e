/** JSON to and from Rego values, with numbers of any precision; and Rego's own text form of values. */
import { KataError } from "../../kata-error.ts";
import { formatNumber, parseNumber } from "./decimal.ts";
import { compareStrings, isArray, isNumber, meter, RegoObject, RegoSet, type Value } from "./values.ts";

/** Deepest nesting that a document may have; deeper ones could exhaust the engine's stack. */
export const MAX_NESTING = 512;

/** JSON whose numbers all survive a double: the engine's own parser may read it. */
const NEEDS_EXACT_NUMBERS = /\d{16}|\d[eE]|\.\d{12}/;

/** A value of `JSON.parse`, or anything built like one. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * The value that a JSON text denotes.
 *
 * @throws KataError `invalid-json` with the offset of the fault.
 */
export function parseJson(text: string): Value {
  if (NEEDS_EXACT_NUMBERS.test(text)) return new JsonReader(text).document();
  try {
    return fromJson(JSON.parse(text) as Json);
  } catch (error) {
    if (error instanceof SyntaxError) return new JsonReader(text).document();
    throw error;
  }
}

/**
 * The Rego value of a JavaScript one; fields that are `undefined` are left out, BigInts are numbers.
 *
 * @throws KataError `invalid-json` if it is nested deeper than {@link MAX_NESTING} or holds a function or symbol.
 */
export function fromJson(json: unknown, depth = 0): Value {
  switch (typeof json) {
    case "string":
    case "boolean":
      return json;
    case "number":
      return json + 0;
    case "bigint":
      return parseNumber(`${json}`) ?? 0;
    case "object": {
      if (json === null) return null;
      if (depth > MAX_NESTING) throw malformed("nested too deeply", 0);
      if (Array.isArray(json)) {
        const items: Value[] = new Array(json.length);
        for (let i = 0; i < json.length; i++) items[i] = fromJson(json[i], depth + 1);
        return items;
      }
      const object = new RegoObject();
      const fields = json as Record<string, unknown>;
      for (const key of Object.keys(fields)) {
        const field = fields[key];
        if (field !== undefined) object.set(key, fromJson(field, depth + 1));
      }
      return object;
    }
    default:
      throw malformed(`a ${typeof json} is no value`, 0);
  }
}

/** The JavaScript form of a value: sets become arrays, keys their JSON text, large numbers the nearest double. */
export function toJson(value: Value): Json {
  if (isNumber(value)) return typeof value === "number" ? value : Number(formatNumber(value));
  if (value === null || typeof value !== "object") return value;
  if (isArray(value)) return value.map(toJson);
  if (value instanceof RegoSet) return value.values().map(toJson);
  const fields: Record<string, Json> = Object.create(null);
  for (const [key, field] of value.entries())
    fields[typeof key === "string" ? key : formatJson(key)] = toJson(field);
  return fields;
}

/** JSON's text: sets as arrays, keys that are no strings as their own JSON text. */
export function formatJson(value: Value): string {
  return format(value, "", "", "json");
}

/** JSON's text on several lines. */
export function formatPrettyJson(value: Value, indent: string, prefix = ""): string {
  return format(value, `\n${prefix}`, indent, "json");
}

/** Rego's text, as `print` and `sprintf("%v")` show values inside of others: `{1, 2}`, `set()`, `{"a": 1}`. */
export function formatRego(value: Value): string {
  return format(value, "", "", "rego");
}

function format(value: Value, line: string, indent: string, style: "json" | "rego"): string {
  if (typeof value === "string") return quote(value);
  if (isNumber(value)) return formatNumber(value);
  if (value === null || typeof value !== "object") return `${value}`;
  const inner = line === "" ? "" : line + indent;
  const comma = line === "" && style === "rego" ? ", " : `,${inner}`;
  const colon = line === "" && style === "json" ? ":" : ": ";
  const wrap = (open: string, parts: string[], close: string) => {
    if (parts.length === 0) return open + close;
    const text = open + inner + parts.join(comma) + line + close;
    meter.charge(text.length >> 4);
    return text;
  };
  if (isArray(value))
    return wrap(
      "[",
      value.map((item) => format(item, inner, indent, style)),
      "]",
    );
  if (value instanceof RegoSet) {
    if (style === "rego" && value.size === 0) return "set()";
    const items = value.values().map((item) => format(item, inner, indent, style));
    return style === "rego" ? wrap("{", items, "}") : wrap("[", items, "]");
  }
  const fields: string[] = [];
  let isPlain = true;
  for (const [key, field] of value.entries()) {
    const name = format(key, "", "", style);
    const quoted = style === "json" && typeof key !== "string" ? quote(name) : name;
    isPlain &&= quoted === name;
    fields.push(quoted + colon + format(field, inner, indent, style));
  }
  // JSON knows only texts as keys, so their order is that of texts.
  if (!isPlain) fields.sort(compareStrings);
  return wrap("{", fields, "}");
}

/** A JSON string as Go writes it without HTML escapes. */
export function quote(text: string): string {
  return JSON.stringify(text).replace(/[\u2028\u2029]/g, (c) => (c === "\u2028" ? "\\u2028" : "\\u2029"));
}

function malformed(why: string, at: number): KataError {
  return new KataError("invalid-json", { operation: "read JSON", object: `offset ${at}`, hint: why });
}

/** A recursive-descent reader for documents that the engine's parser would round. Source: RFC 8259. */
class JsonReader {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  document(): Value {
    const value = this.value(0);
    this.space();
    if (this.at < this.text.length) throw malformed("text after the value", this.at);
    return value;
  }

  private value(depth: number): Value {
    if (depth > MAX_NESTING) throw malformed("nested too deeply", this.at);
    this.space();
    const first = this.text[this.at];
    if (first === "{") return this.object(depth);
    if (first === "[") return this.array(depth);
    if (first === '"') return this.string();
    for (const [word, value] of WORDS) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text);
    const number = match ? parseNumber(match[0]) : undefined;
    if (!match || number === undefined) throw malformed("no value here", this.at);
    this.at += match[0].length;
    return number;
  }

  private object(depth: number): RegoObject {
    const object = new RegoObject();
    this.at++;
    if (this.taken("}")) return object;
    do {
      this.space();
      if (this.text[this.at] !== '"') throw malformed("a key is a string", this.at);
      const key = this.string();
      if (!this.taken(":")) throw malformed("':' follows a key", this.at);
      object.set(key, this.value(depth + 1));
    } while (this.taken(","));
    if (!this.taken("}")) throw malformed("'}' or ',' expected", this.at);
    return object;
  }

  private array(depth: number): Value[] {
    const items: Value[] = [];
    this.at++;
    if (this.taken("]")) return items;
    do items.push(this.value(depth + 1));
    while (this.taken(","));
    if (!this.taken("]")) throw malformed("']' or ',' expected", this.at);
    return items;
  }

  private string(): string {
    const start = this.at++;
    while (this.at < this.text.length && this.text[this.at] !== '"')
      this.at += this.text[this.at] === "\\" ? 2 : 1;
    this.at++;
    try {
      return JSON.parse(this.text.slice(start, this.at)) as string;
    } catch (cause) {
      throw new KataError("invalid-json", {
        operation: "read JSON",
        object: `string at offset ${start}`,
        cause,
      });
    }
  }

  private space(): void {
    while (" \t\r\n".includes(this.text[this.at] ?? "x")) this.at++;
  }

  private taken(what: string): boolean {
    this.space();
    if (this.text[this.at] !== what) return false;
    this.at++;
    return true;
  }
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORDS: readonly [string, Value][] = [
  ["true", true],
  ["false", false],
  ["null", null],
];
