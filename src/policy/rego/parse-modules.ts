/** Modules and queries. Source: OPA policy reference, "Grammar"; v0 and v1 differences: OPA "v0 upgrade". */
import type { Body, Dialect, Import, Module, Rule } from "./ast.ts";
import { syntaxError } from "./fault.ts";
import { tokenize } from "./lexer.ts";
import { parseLiterals } from "./parse-bodies.ts";
import { Cursor, FUTURE_KEYWORDS, LOGIC_KEYWORDS } from "./parse-cursor.ts";
import { parseRules } from "./parse-rules.ts";

/**
 * The syntax tree of a module.
 *
 * @param dialect the language of modules that do not say `import rego.v1`.
 * @throws KataError `policy-syntax` with file, line and column.
 */
export function parseModule(file: string, text: string, dialect: Dialect): Module {
  const { tokens, comments } = tokenize(file, text);
  const cursor = new Cursor(tokens, dialect);
  if (!cursor.isKeyword("package")) throw cursor.unexpected("a module begins with 'package'");
  const packageAt = cursor.next().at;
  const packagePath = parsePath(cursor);
  const imports: Import[] = [];
  const rules: Rule[] = [];
  for (;;) {
    while (cursor.taken(";"));
    if (cursor.token.kind === "end") break;
    if (!cursor.token.afterNewline && cursor.previous.text !== ";") {
      throw cursor.unexpected("a statement begins on a new line");
    }
    if (cursor.isKeyword("package")) throw cursor.unexpected("a module has one package");
    if (cursor.isKeyword("import")) {
      if (rules.length > 0 && cursor.dialect === "v1") throw cursor.unexpected("imports stand before rules");
      imports.push(parseImport(cursor));
    } else {
      rules.push(...parseRules(cursor));
    }
  }
  return { file, dialect: cursor.dialect, package: packagePath, packageAt, imports, rules, comments };
}

/**
 * The expressions of a query.
 *
 * @throws KataError `policy-syntax`.
 */
export function parseQuery(text: string, dialect: Dialect): Body {
  const { tokens } = tokenize("<query>", text);
  return parseLiterals(new Cursor(tokens, dialect, FUTURE_KEYWORDS), undefined);
}

function parsePath(cursor: Cursor): string[] {
  const { token } = cursor;
  if (token.kind !== "name") throw cursor.unexpected("a path begins with a name");
  cursor.next();
  const path = [token.text];
  for (;;) {
    if (cursor.isAdjacent(".")) {
      cursor.next();
      if (cursor.token.kind !== "name") throw cursor.unexpected("a name follows '.'");
      path.push(cursor.next().text);
    } else if (cursor.isAdjacent("[")) {
      cursor.next();
      if (cursor.token.kind !== "string") throw cursor.unexpected("a path has strings between brackets");
      path.push(cursor.next().text);
      cursor.expect("]");
    } else {
      return path;
    }
  }
}

function parseImport(cursor: Cursor): Import {
  const { at } = cursor.next();
  const path = parsePath(cursor);
  const alias = cursor.takenKeyword("as") ? cursor.variable().name : undefined;
  const [root, second, third] = path;
  if (root === "rego") {
    if (path.length !== 2 || (second !== "v1" && second !== "v2"))
      throw syntaxError(at, "invalid import, must be `rego.v1` or `rego.v2`");
    if (alias) throw syntaxError(at, `\`rego.${second}\` cannot be aliased`);
    cursor.dialect = "v1";
    for (const word of FUTURE_KEYWORDS) cursor.keywords.add(word);
    if (second === "v2") for (const word of LOGIC_KEYWORDS) cursor.keywords.add(word);
  } else if (root === "future") {
    if (second !== "keywords" || path.length > 3)
      throw syntaxError(at, "invalid import, must be `future.keywords`");
    if (alias) throw syntaxError(at, "`future` imports cannot be aliased");
    const known = [...FUTURE_KEYWORDS, ...LOGIC_KEYWORDS];
    if (third !== undefined && !known.includes(third)) {
      throw syntaxError(at, `unexpected keyword ${third}; known: ${known.join(", ")}`);
    }
    for (const word of third === undefined ? known : [third]) cursor.keywords.add(word);
    // `every` reads `in`.
    if (third === "every") cursor.keywords.add("in");
  } else if (root !== "data" && root !== "input") {
    throw syntaxError(at, "import path must begin with one of: data, future, input, rego");
  }
  return { path, ...(alias === undefined ? {} : { alias }), at };
}
