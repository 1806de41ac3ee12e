/** Go's regular expressions as a tree. Source: RE2 syntax as documented by Go's regexp/syntax. */
import {
  type Contains,
  caseVariants,
  foldCase,
  inRanges,
  not,
  PERL,
  POSIX,
  tabulate,
  unicodeProperty,
} from "./character-class.ts";

export type Node =
  | { readonly kind: "empty" }
  | { readonly kind: "class"; readonly contains: Contains; readonly literal?: number }
  | { readonly kind: "assert"; readonly what: Assertion }
  | { readonly kind: "group"; readonly index: number; readonly body: Node }
  | { readonly kind: "sequence"; readonly items: readonly Node[] }
  | { readonly kind: "alternatives"; readonly items: readonly Node[] }
  | {
      readonly kind: "repeat";
      readonly body: Node;
      readonly min: number;
      readonly max: number;
      readonly greedy: boolean;
    };

export type Assertion = "text-start" | "text-end" | "line-start" | "line-end" | "word" | "no-word";

export interface Syntax {
  readonly root: Node;
  /** Names by index; the whole match is index 0. */
  readonly names: readonly (string | undefined)[];
}

/** The pattern is no RE2 expression. */
export class RegexFault extends Error {
  override readonly name = "RegexFault";
}

/** Largest repetition count, as in Go. */
const MAX_REPEAT = 1000;
/** Deepest nesting of groups, as in Go. */
const MAX_DEPTH = 1000;

interface Flags {
  readonly fold: boolean;
  readonly multiline: boolean;
  readonly dotAll: boolean;
  readonly ungreedy: boolean;
}

const ESCAPES: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };

export function parseRegex(pattern: string): Syntax {
  return new Parser(pattern).parse();
}

class Parser {
  private readonly points: readonly string[];
  private at = 0;
  private depth = 0;
  private flags: Flags = { fold: false, multiline: false, dotAll: false, ungreedy: false };
  private readonly names: (string | undefined)[] = [undefined];

  constructor(pattern: string) {
    this.points = [...pattern];
  }

  parse(): Syntax {
    const root = this.alternatives();
    if (this.at < this.points.length) throw new RegexFault("unexpected )");
    return { root, names: this.names };
  }

  private get here(): string | undefined {
    return this.points[this.at];
  }

  private taken(text: string): boolean {
    if (!this.startsWith(text)) return false;
    this.at += text.length;
    return true;
  }

  private startsWith(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.points[this.at + i] !== text[i]) return false;
    return true;
  }

  private alternatives(): Node {
    if (++this.depth > MAX_DEPTH) throw new RegexFault("expression nests too deeply");
    const { flags } = this;
    const items = [this.sequence()];
    while (this.taken("|")) items.push(this.sequence());
    this.flags = flags;
    this.depth--;
    return items.length === 1 ? (items[0] ?? { kind: "empty" }) : { kind: "alternatives", items };
  }

  private sequence(): Node {
    const items: Node[] = [];
    while (this.here !== undefined && this.here !== "|" && this.here !== ")") {
      if (this.taken("\\Q")) {
        while (this.here !== undefined && !this.taken("\\E")) items.push(this.literal(this.next()));
        // A repetition behind the quote is of its last character.
        const last = items.pop();
        if (last) items.push(this.repeated(last));
        continue;
      }
      const atom = this.atom();
      if (atom) items.push(this.repeated(atom));
    }
    return items.length === 0 ? { kind: "empty" } : { kind: "sequence", items };
  }

  private next(): string {
    const point = this.points[this.at++];
    if (point === undefined) throw new RegexFault("unexpected end of expression");
    return point;
  }

  private literal(text: string): Node {
    const literal = text.codePointAt(0) ?? 0;
    if (!this.flags.fold) return { kind: "class", contains: (point) => point === literal, literal };
    const all = new Set([literal, ...caseVariants(literal)]);
    return { kind: "class", contains: (point) => all.has(point) };
  }

  private atom(): Node | undefined {
    const { multiline, dotAll } = this.flags;
    const point = this.next();
    switch (point) {
      case "(":
        return this.group();
      case "[":
        return { kind: "class", contains: this.bracketClass() };
      case ".":
        return { kind: "class", contains: dotAll ? () => true : (other) => other !== 10 };
      case "^":
        return { kind: "assert", what: multiline ? "line-start" : "text-start" };
      case "$":
        return { kind: "assert", what: multiline ? "line-end" : "text-end" };
      case "\\":
        return this.escape();
      case "*":
      case "+":
      case "?":
        throw new RegexFault(`missing argument to repetition operator: ${point}`);
      default:
        return this.literal(point);
    }
  }

  private group(): Node | undefined {
    if (!this.taken("?")) return this.capture(undefined);
    const named = /^P?<([A-Za-z0-9_]+)>/.exec(this.points.slice(this.at, this.at + 200).join(""));
    if (named?.[1]) {
      if (this.names.includes(named[1])) throw new RegexFault(`duplicate capture group name ${named[1]}`);
      this.at += [...named[0]].length;
      return this.capture(named[1]);
    }
    const outer = this.flags;
    this.flags = this.readFlags();
    if (this.taken(")")) return undefined;
    if (!this.taken(":")) throw new RegexFault("invalid or unsupported Perl syntax");
    const body = this.alternatives();
    if (!this.taken(")")) throw new RegexFault("missing closing )");
    this.flags = outer;
    return body;
  }

  private readFlags(): Flags {
    let { fold, multiline, dotAll, ungreedy } = this.flags;
    let on = true;
    while (this.here !== ":" && this.here !== ")") {
      const flag = this.next();
      if (flag === "i") fold = on;
      else if (flag === "m") multiline = on;
      else if (flag === "s") dotAll = on;
      else if (flag === "U") ungreedy = on;
      else if (flag === "-" && on && this.here !== ")" && this.here !== ":") on = false;
      else throw new RegexFault("invalid or unsupported Perl syntax");
    }
    return { fold, multiline, dotAll, ungreedy };
  }

  private capture(name: string | undefined): Node {
    const index = this.names.push(name) - 1;
    const body = this.alternatives();
    if (!this.taken(")")) throw new RegexFault("missing closing )");
    return { kind: "group", index, body };
  }

  private repeated(atom: Node): Node {
    let node = atom;
    for (let times = 0; ; times++) {
      const bounds = this.bounds();
      if (!bounds) return node;
      if (times > 0) throw new RegexFault("invalid nested repetition operator");
      const lazy = this.taken("?");
      node = { kind: "repeat", body: node, ...bounds, greedy: lazy === this.flags.ungreedy };
    }
  }

  private bounds(): { readonly min: number; readonly max: number } | undefined {
    if (this.taken("*")) return { min: 0, max: Number.POSITIVE_INFINITY };
    if (this.taken("+")) return { min: 1, max: Number.POSITIVE_INFINITY };
    if (this.taken("?")) return { min: 0, max: 1 };
    if (this.here !== "{") return undefined;
    const match = /^\{(\d{1,9})(?:(,)(\d{1,9})?)?\}/.exec(this.points.slice(this.at, this.at + 24).join(""));
    if (!match) return undefined;
    this.at += match[0].length;
    const min = Number(match[1]);
    const max =
      match[2] === undefined ? min : match[3] === undefined ? Number.POSITIVE_INFINITY : Number(match[3]);
    if (min > MAX_REPEAT || (Number.isFinite(max) && max > MAX_REPEAT) || max < min) {
      throw new RegexFault(`invalid repeat count: ${match[0]}`);
    }
    return { min, max };
  }

  private escape(): Node {
    const point = this.next();
    switch (point) {
      case "A":
        return { kind: "assert", what: "text-start" };
      case "z":
        return { kind: "assert", what: "text-end" };
      case "b":
        return { kind: "assert", what: "word" };
      case "B":
        return { kind: "assert", what: "no-word" };
      case "E":
        return { kind: "empty" };
      default: {
        const contains = this.escapedClass(point);
        return contains
          ? { kind: "class", contains }
          : this.literal(String.fromCodePoint(this.escapedPoint(point)));
      }
    }
  }

  /** `\d`, `\W`, `\pL`, `\P{Greek}`. */
  private escapedClass(point: string): Contains | undefined {
    const perl = PERL[point.toLowerCase()];
    if (perl) {
      const contains = inRanges(perl);
      return tabulate(point === point.toLowerCase() ? contains : not(contains));
    }
    if (point !== "p" && point !== "P") return undefined;
    let name = this.next();
    if (name === "{") {
      name = "";
      while (this.here !== "}") name += this.next();
      this.at++;
    }
    const inverted = name.startsWith("^");
    const property = unicodeProperty(inverted ? name.slice(1) : name);
    if (!property) throw new RegexFault(`invalid character class range: \\${point}{${name}}`);
    const contains = this.flags.fold ? foldCase(property) : property;
    return tabulate(inverted === (point === "p") ? not(contains) : contains);
  }

  private escapedPoint(point: string): number {
    const control = ESCAPES[point];
    if (control !== undefined) return control;
    if (point === "x") return this.hexadecimal();
    if (/[1-7]/.test(point) && !/[0-7]/.test(this.here ?? ""))
      throw new RegexFault(`invalid escape sequence: \\${point}`);
    if (/[0-7]/.test(point)) {
      let digits = point;
      while (digits.length < 3 && /[0-7]/.test(this.here ?? "")) digits += this.next();
      return Number.parseInt(digits, 8);
    }
    if (/[A-Za-z0-9]/.test(point)) throw new RegexFault(`invalid escape sequence: \\${point}`);
    return point.codePointAt(0) ?? 0;
  }

  private hexadecimal(): number {
    let digits = "";
    if (this.taken("{")) {
      while (this.here !== "}") digits += this.next();
      this.at++;
    } else {
      digits = this.next() + this.next();
    }
    const value = /^[0-9A-Fa-f]{1,8}$/.test(digits) ? Number.parseInt(digits, 16) : Number.NaN;
    if (!(value <= 0x10ffff)) throw new RegexFault(`invalid escape sequence: \\x${digits}`);
    return value;
  }

  private bracketClass(): Contains {
    const inverted = this.taken("^");
    const parts: Contains[] = [];
    const ranges: [number, number][] = [];
    for (let first = true; first || this.here !== "]"; first = false) {
      if (this.startsWith("[:")) {
        parts.push(this.posixClass());
        continue;
      }
      const low = this.classItem();
      if (typeof low === "function") {
        parts.push(low);
        continue;
      }
      let high = low;
      if (this.here === "-" && this.points[this.at + 1] !== "]") {
        this.at++;
        const end = this.classItem();
        if (typeof end === "function" || end < low) throw new RegexFault("invalid character class range");
        high = end;
      }
      ranges.push([low, high]);
    }
    this.at++;
    if (ranges.length > 0) parts.push(inRanges(ranges));
    const any: Contains = (point) => parts.some((part) => part(point));
    const folded = this.flags.fold ? foldCase(any) : any;
    return tabulate(inverted ? not(folded) : folded);
  }

  private classItem(): number | Contains {
    const point = this.next();
    if (point !== "\\") return point.codePointAt(0) ?? 0;
    const escaped = this.next();
    return this.escapedClass(escaped) ?? this.escapedPoint(escaped);
  }

  private posixClass(): Contains {
    const match = /^\[:(\^?)([a-z]+):\]/.exec(this.points.slice(this.at, this.at + 16).join(""));
    const ranges = match?.[2] ? POSIX[match[2]] : undefined;
    if (!match || !ranges) {
      if (match) throw new RegexFault(`invalid character class range: ${match[0]}`);
      this.at++;
      return (point) => point === 91;
    }
    this.at += match[0].length;
    const contains = inRanges(ranges);
    return match[1] === "^" ? not(contains) : contains;
  }
}
