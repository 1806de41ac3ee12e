/** YAML's flow style and its scalars. Source: YAML 1.2.2, chapters 7 and 10.3. */
import { parseNumber } from "../decimal.ts";
import { MAX_NESTING } from "../json.ts";
import { RegoObject, type Value } from "../values.ts";

/** The text is no YAML. */
export class YamlFault extends Error {
  override readonly name = "YamlFault";
}

/** What a scalar without quotes is. */
export function plainScalar(text: string): Value {
  switch (text) {
    case "":
    case "~":
    case "null":
    case "Null":
    case "NULL":
      return null;
    case "true":
    case "True":
    case "TRUE":
      return true;
    case "false":
    case "False":
    case "FALSE":
      return false;
  }
  if (/^[-+]?(\d[\d_]*)?\.?\d*([eE][-+]?\d+)?$/.test(text) && /\d/.test(text)) {
    const clean = text
      .replace(/_/g, "")
      .replace(/^\+/, "")
      .replace(/^(-?)\./, "$10.")
      .replace(/\.(?=$|[eE])/, "");
    return parseNumber(clean) ?? text;
  }
  if (/^0x[0-9a-fA-F]+$/.test(text) || /^0o[0-7]+$/.test(text)) return parseNumber(`${BigInt(text)}`) ?? text;
  return text;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "0": "\0",
  a: "\x07",
  b: "\b",
  e: "\x1b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  N: "\x85",
  _: "\xa0",
  L: "\u2028",
  P: "\u2029",
};

/** The text between double quotes. */
export function unquoteDouble(text: string): string {
  const folded = text.replace(/(\\?)[ \t]*\n\s*/g, (all, escaped: string) => {
    if (escaped) return "";
    const breaks = all.split("\n").length - 1;
    return breaks > 1 ? "\n".repeat(breaks - 1) : " ";
  });
  return folded.replace(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/gs,
    (_, ...groups: string[]) => {
      const hex = groups[0] ?? groups[1] ?? groups[2];
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
      const escaped = groups[3] ?? "";
      return ESCAPES[escaped] ?? escaped;
    },
  );
}

const SPACE = /\s*(?:(?<=\s|^)#[^\n]*)?/y;
const ALIAS = /\*([^\s,[\]{}]*)/y;
const PLAIN = /(?:[^,[\]{}:#\n]|:(?![\s,[\]{}]|$)|(?<!\s)#|\n(?=\s*[^,[\]{}:#\s]))*/y;
const DOUBLE_QUOTED = /"((?:[^"\\]|\\[\s\S])*)"/y;
const SINGLE_QUOTED = /'((?:[^']|'')*)'/y;
const EXPLICIT_KEY = /\?(?=\s)/y;

/** Thrown where the text ends within the value: more lines may complete it. */
class Unfinished extends Error {}

export class FlowReader {
  private readonly text: string;
  private readonly anchors: ReadonlyMap<string, Value>;
  private at = 0;
  private depth = 0;

  constructor(text: string, anchors: ReadonlyMap<string, Value>) {
    this.text = text;
    this.anchors = anchors;
  }

  /** The value, or undefined if it is not complete yet. */
  complete(): Value | undefined {
    try {
      const value = this.value();
      this.space();
      if (this.at < this.text.length) throw new YamlFault("yaml: text after a value");
      return value;
    } catch (error) {
      if (error instanceof Unfinished) return undefined;
      throw error;
    }
  }

  /** What `pattern`, a sticky one, finds here; it is passed. */
  private taken(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match) this.at += match[0].length;
    return match;
  }

  private space(): void {
    while ((this.taken(SPACE)?.[0] ?? "") !== "");
  }

  private peek(): string {
    this.space();
    const next = this.text[this.at];
    if (next === undefined) throw new Unfinished();
    return next;
  }

  private value(): Value {
    const first = this.peek();
    if (first === "[" || first === "{") {
      if (++this.depth > MAX_NESTING) throw new YamlFault("yaml: nested too deeply");
      const collection = first === "[" ? this.sequence() : this.mapping();
      this.depth--;
      return collection;
    }
    if (first === '"' || first === "'") return this.quoted(first);
    if (first === "*") {
      const name = this.taken(ALIAS)?.[1] ?? "";
      return this.anchors.get(name) ?? null;
    }
    const plain = this.taken(PLAIN)?.[0] ?? "";
    return plainScalar(plain.trim().replace(/\s*\n\s*/g, " "));
  }

  private quoted(mark: string): string {
    const match = this.taken(mark === '"' ? DOUBLE_QUOTED : SINGLE_QUOTED);
    if (!match) throw new Unfinished();
    const inner = match[1] ?? "";
    return mark === '"' ? unquoteDouble(inner) : inner.replace(/''/g, "'").replace(/[ \t]*\n\s*/g, " ");
  }

  private sequence(): Value[] {
    const items: Value[] = [];
    this.at++;
    while (this.peek() !== "]") {
      const item = this.value();
      if (this.peek() === ":") {
        this.at++;
        const single = new RegoObject();
        single.set(keyText(item), this.value());
        items.push(single);
      } else {
        items.push(item);
      }
      this.separator("]");
    }
    this.at++;
    return items;
  }

  private mapping(): RegoObject {
    const object = new RegoObject();
    this.at++;
    while (this.peek() !== "}") {
      this.taken(EXPLICIT_KEY);
      const key = keyText(this.value());
      let value: Value = null;
      if (this.peek() === ":") {
        this.at++;
        const next = this.peek();
        value = next === "," || next === "}" ? null : this.value();
      }
      object.set(key, value);
      this.separator("}");
    }
    this.at++;
    return object;
  }

  private separator(close: string): void {
    const next = this.peek();
    if (next === ",") this.at++;
    else if (next !== close) throw new YamlFault(`yaml: did not find expected ',' or '${close}'`);
  }
}

function keyText(key: Value): string {
  return typeof key === "string" ? key : `${key}`;
}
