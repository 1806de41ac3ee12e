/** A place in a sequence of tokens, and the words that are keywords there. */
import type { Dialect, Term, VariableTerm } from "./ast.ts";
import { syntaxError } from "./fault.ts";
import type { Token } from "./lexer.ts";

/** Deepest nesting of terms in a policy: bounds the parser's and the compiler's recursion. */
export const MAX_TERM_NESTING = 200;

const RESERVED = new Set([
  "as",
  "default",
  "else",
  "false",
  "import",
  "package",
  "not",
  "null",
  "some",
  "true",
  "with",
]);

/** The words that v0 knows only after `import future.keywords`. */
export const FUTURE_KEYWORDS: readonly string[] = ["contains", "every", "if", "in"];

/** The words that `import rego.v2` adds; with `not` imported, `not` takes a body. */
export const LOGIC_KEYWORDS: readonly string[] = ["and", "not", "or"];

export class Cursor {
  private readonly tokens: readonly Token[];
  private index = 0;
  /** Terms around this place. */
  depth: number;
  private wildcards = 0;
  /** Terms by the index they begin at: what an attempt gave up on is not parsed again, or nesting would cost 2^depth. */
  private readonly parsed = new Map<number, { readonly end: number; readonly term: Term } | Error>();
  readonly keywords: Set<string>;
  dialect: Dialect;

  constructor(tokens: readonly Token[], dialect: Dialect, keywords: Iterable<string> = [], depth = 0) {
    this.tokens = tokens;
    this.depth = depth;
    this.dialect = dialect;
    this.keywords = new Set(dialect === "v1" ? FUTURE_KEYWORDS : keywords);
  }

  get token(): Token {
    return this.tokens[Math.min(this.index, this.tokens.length - 1)] as Token;
  }

  /** The token before this one, for the line that something ended on. */
  get previous(): Token {
    return this.tokens[Math.max(0, this.index - 1)] as Token;
  }

  peek(ahead: number): Token {
    return this.tokens[Math.min(this.index + ahead, this.tokens.length - 1)] as Token;
  }

  next(): Token {
    const token = this.token;
    this.index++;
    return token;
  }

  is(symbol: string): boolean {
    return this.token.kind === "symbol" && this.token.text === symbol;
  }

  /** True at `symbol` with nothing between it and the token before: `f(`, `x[`, `x.`. */
  isAdjacent(symbol: string): boolean {
    return this.is(symbol) && !this.token.afterSpace;
  }

  isWord(word: string): boolean {
    return this.token.kind === "name" && this.token.text === word;
  }

  /** True at `word` if it is a keyword here; `word.name` is a reference. */
  isKeyword(word: string): boolean {
    return this.isWord(word) && !this.beginsRef() && (RESERVED.has(word) || this.keywords.has(word));
  }

  /** True at a name with a `.` right behind it. */
  beginsRef(): boolean {
    const next = this.peek(1);
    return next.text === "." && next.kind === "symbol" && !next.afterSpace;
  }

  taken(symbol: string): boolean {
    if (!this.is(symbol)) return false;
    this.index++;
    return true;
  }

  takenKeyword(word: string): boolean {
    if (!this.isKeyword(word)) return false;
    this.index++;
    return true;
  }

  expect(symbol: string): Token {
    if (!this.is(symbol)) throw this.unexpected(`expected ${symbol}`);
    return this.next();
  }

  unexpected(why: string): Error {
    const { token } = this;
    const what = token.kind === "end" ? "end of text" : `${token.kind} ${JSON.stringify(token.text)}`;
    return syntaxError(token.at, `unexpected ${what}: ${why}`);
  }

  /** Runs `parse`; if that throws a syntax error the cursor is back where it was and the result undefined. */
  attempt<T>(parse: () => T | undefined): T | undefined {
    const { index, depth, wildcards } = this;
    try {
      const result = parse();
      if (result !== undefined) return result;
    } catch (error) {
      if (!(error instanceof Error) || !("code" in error) || error.code !== "policy-syntax") throw error;
    }
    this.index = index;
    this.depth = depth;
    this.wildcards = wildcards;
    return undefined;
  }

  /** The term that begins here, parsed by `parse` unless it was parsed before. */
  remembered(parse: () => Term): Term {
    const start = this.index;
    const known = this.parsed.get(start);
    if (known instanceof Error) throw known;
    if (known) {
      this.index = known.end;
      return known.term;
    }
    try {
      const term = this.nested(parse);
      this.parsed.set(start, { end: this.index, term });
      return term;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "policy-syntax")
        this.parsed.set(start, error);
      throw error;
    }
  }

  /** Runs `parse` one level deeper. */
  nested<T>(parse: () => T): T {
    if (++this.depth > MAX_TERM_NESTING) {
      throw syntaxError(this.token.at, `terms may be nested ${MAX_TERM_NESTING} deep`);
    }
    const result = parse();
    this.depth--;
    return result;
  }

  /** A variable's name here, keywords refused; each `_` becomes a variable of its own. */
  variable(): VariableTerm {
    const { token } = this;
    if (token.kind !== "name") throw this.unexpected("a variable was expected");
    const isCall = token.text === "contains" && this.peek(1).text === "(";
    if (!isCall && !this.beginsRef() && (RESERVED.has(token.text) || this.keywords.has(token.text))) {
      throw this.unexpected("a keyword is no variable");
    }
    this.index++;
    const name = token.text === "_" ? `$${this.wildcards++}:${token.at.line}:${token.at.column}` : token.text;
    return { kind: "variable", name, at: token.at };
  }
}

/** True for the name that {@link Cursor.variable} gives to a wildcard. */
export function isWildcard(name: string): boolean {
  return name.startsWith("$");
}
