/** Rego's tokens. Source: OPA policy reference, "Grammar" and "Strings". */
import type { Comment, Position } from "./ast.ts";
import { syntaxError } from "./fault.ts";

export type TokenKind = "name" | "number" | "string" | "symbol" | "template" | "end";

export interface Token {
  readonly kind: TokenKind;
  /** The name, the symbol, the number's text or the string's value. */
  readonly text: string;
  /** Literal pieces and expression sources of a template string, alternating. */
  readonly parts?: readonly TemplatePart[];
  readonly at: Position;
  readonly endLine: number;
  /** A line break stands between this token and the one before. */
  readonly afterNewline: boolean;
  /** Space, a line break or a comment stands between this token and the one before. */
  readonly afterSpace: boolean;
}

export type TemplatePart = { readonly literal: string } | { readonly source: string; readonly at: Position };

/** Longest policy text, UTF-16 units: upstream's agent refuses more than 16 MiB. */
export const MAX_SOURCE_LENGTH = 16 << 20;

const SYMBOLS = [
  ":=",
  "==",
  "!=",
  "<=",
  ">=",
  "{",
  "}",
  "[",
  "]",
  "(",
  ")",
  ",",
  ";",
  ":",
  ".",
  "=",
  "<",
  ">",
  "+",
  "-",
  "*",
  "/",
  "%",
  "|",
  "&",
];
/** Symbols that no other one begins with. */
const SINGLE: ReadonlyMap<string, Pick<Token, "kind" | "text">> = new Map(
  SYMBOLS.filter((symbol) => SYMBOLS.filter((other) => other.startsWith(symbol)).length === 1)
    .filter((symbol) => symbol.length === 1)
    .map((text) => [text, { kind: "symbol", text }]),
);
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const NUMBER = /(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const NEWLINE = 10;
const TAB = 9;
const RETURN = 13;
const BLANK = 32;
const HASH = 35;
const ZERO = 48;
const NINE = 57;

export interface Tokens {
  readonly tokens: readonly Token[];
  readonly comments: readonly Comment[];
}

/**
 * Splits a policy into tokens; the last one has kind `end`.
 *
 * @throws KataError `policy-syntax` at the character that begins no token.
 */
export function tokenize(file: string, text: string, start: Position = { file, line: 1, column: 1 }): Tokens {
  if (text.length > MAX_SOURCE_LENGTH)
    throw syntaxError(start, `a policy has at most ${MAX_SOURCE_LENGTH} characters`);
  return new Lexer(file, text, start).run();
}

class Lexer {
  private readonly tokens: Token[] = [];
  private readonly comments: Comment[] = [];
  private readonly file: string;
  private readonly text: string;
  private at = 0;
  private line: number;
  private lineStart: number;

  constructor(file: string, text: string, start: Position) {
    this.file = file;
    this.text = text;
    this.line = start.line;
    this.lineStart = 1 - start.column;
  }

  run(): Tokens {
    let newline = true;
    let space = true;
    if (this.text.charCodeAt(0) === 0xfeff) this.at = 1;
    for (;;) {
      const before = this.line;
      if (this.skipSpace() || this.skipComment(newline || this.line !== before)) {
        space = true;
        if (this.line !== before) newline = true;
        continue;
      }
      const at = this.position();
      const { kind, text, parts } = this.next();
      const token = { kind, text, at, endLine: this.line, afterNewline: newline, afterSpace: space };
      this.tokens.push(parts === undefined ? token : { ...token, parts });
      if (kind === "end") return { tokens: this.tokens, comments: this.comments };
      newline = false;
      space = false;
    }
  }

  private position(): Position {
    return { file: this.file, line: this.line, column: this.at - this.lineStart + 1 };
  }

  /** What `pattern`, which matches no line break, finds here. */
  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  private advance(length: number): void {
    const end = this.at + length;
    // Not indexOf(): on a long line each token would search as far as the line's end.
    for (let i = this.at; i < end; i++) {
      if (this.text.charCodeAt(i) !== NEWLINE) continue;
      this.line++;
      this.lineStart = i + 1;
    }
    this.at = end;
  }

  private skipSpace(): boolean {
    const { text } = this;
    let { at } = this;
    for (; ; at++) {
      const unit = text.charCodeAt(at);
      if (unit === NEWLINE) {
        this.line++;
        this.lineStart = at + 1;
      } else if (unit !== BLANK && unit !== TAB && unit !== RETURN) {
        break;
      }
    }
    const found = at !== this.at;
    this.at = at;
    return found;
  }

  private skipComment(alone: boolean): boolean {
    if (this.text.charCodeAt(this.at) !== HASH) return false;
    const at = this.position();
    const end = this.text.indexOf("\n", this.at);
    const text = this.text.slice(this.at + 1, end < 0 ? this.text.length : end);
    this.comments.push({ text: text.endsWith("\r") ? text.slice(0, -1) : text, at, alone });
    this.at = end < 0 ? this.text.length : end;
    return true;
  }

  private next(): Pick<Token, "kind" | "text" | "parts"> {
    const first = this.text[this.at];
    if (first === undefined) return { kind: "end", text: "" };
    const single = SINGLE.get(first);
    if (single !== undefined) {
      this.at++;
      return single;
    }
    const name = this.match(NAME);
    if (name !== undefined) return { kind: "name", text: name };
    const at = this.position();
    const unit = first.charCodeAt(0);
    const number = unit >= ZERO && unit <= NINE ? this.match(NUMBER) : undefined;
    if (number !== undefined) {
      NAME.lastIndex = this.at;
      if (NAME.test(this.text) || /^\d/.test(this.text.slice(this.at, this.at + 1))) {
        throw syntaxError(at, "illegal number format");
      }
      return { kind: "number", text: number };
    }
    if (first === '"') return { kind: "string", text: this.quoted() };
    if (first === "`") return { kind: "string", text: this.raw() };
    if (first === "$" && (this.text[this.at + 1] === '"' || this.text[this.at + 1] === "`"))
      return this.template();
    for (const symbol of SYMBOLS) {
      if (this.text.startsWith(symbol, this.at)) {
        this.at += symbol.length;
        return { kind: "symbol", text: symbol };
      }
    }
    throw syntaxError(
      at,
      `illegal character ${JSON.stringify(String.fromCodePoint(this.text.codePointAt(this.at) ?? 0))}`,
    );
  }

  private quoted(): string {
    const at = this.position();
    const start = this.at++;
    for (;;) {
      const unit = this.text[this.at];
      if (unit === undefined || unit === "\n") throw syntaxError(at, "non-terminated string");
      this.at += unit === "\\" ? 2 : 1;
      if (unit === '"') return this.unescape(this.text.slice(start, this.at), at);
    }
  }

  private unescape(quoted: string, at: Position): string {
    if (!quoted.includes("\\") && !/[\u0000-\u001f]/.test(quoted)) return quoted.slice(1, -1);
    try {
      return JSON.parse(quoted.replace(/\t/g, "\\t")) as string;
    } catch (error) {
      if (error instanceof SyntaxError) throw syntaxError(at, "illegal string escape");
      throw error;
    }
  }

  private raw(): string {
    const at = this.position();
    const end = this.text.indexOf("`", this.at + 1);
    if (end < 0) throw syntaxError(at, "non-terminated raw string");
    const text = this.text.slice(this.at + 1, end);
    this.advance(end + 1 - this.at);
    return text;
  }

  /** `$"text {expression} text"`: the sources of the expressions are kept for the parser; `\{` is a plain brace. */
  private template(): Pick<Token, "kind" | "text" | "parts"> {
    const at = this.position();
    const end = this.text[this.at + 1] ?? "";
    const parts: TemplatePart[] = [];
    let literal = "";
    const flush = () => {
      if (literal !== "") parts.push({ literal: end === "`" ? literal : this.unescape(`"${literal}"`, at) });
      literal = "";
    };
    this.at += 2;
    for (;;) {
      const unit = this.text[this.at];
      if (unit === undefined || (unit === "\n" && end === '"'))
        throw syntaxError(at, "non-terminated template string");
      if (unit === end) break;
      if (unit === "\\" && this.text[this.at + 1] === "{") {
        literal += "{";
        this.at += 2;
      } else if (unit === "\\" && end === '"') {
        literal += this.text.slice(this.at, this.at + 2);
        this.at += 2;
      } else if (unit === "{") {
        flush();
        parts.push(this.expression());
      } else {
        literal += unit;
        this.advance(1);
      }
    }
    this.at++;
    flush();
    return { kind: "template", text: "", parts };
  }

  private expression(): TemplatePart {
    this.at++;
    const at = this.position();
    const start = this.at;
    for (let depth = 1; ; ) {
      const unit = this.text[this.at];
      if (unit === undefined) throw syntaxError(at, "non-terminated expression in a template string");
      if (unit === '"') this.quoted();
      else if (unit === "`") this.raw();
      else {
        if (unit === "{") depth++;
        if (unit === "}") depth--;
        this.advance(1);
        if (depth === 0) return { source: this.text.slice(start, this.at - 1), at };
      }
    }
  }
}
