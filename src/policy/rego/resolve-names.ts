/** What a name in a module stands for: a variable of the body, a rule of the package, an import, `input` or `data`. */
import type { Body, Literal, Module, Position, Term } from "./ast.ts";
import { compileError } from "./fault.ts";
import type { Variable } from "./ir.ts";
import { isWildcard } from "./parse-cursor.ts";
import type { RuleNode } from "./rule-tree.ts";

/** Names that one module sees everywhere. */
export class ModuleNames {
  readonly packageNode: RuleNode;
  readonly packagePath: readonly string[];
  /** Alias to path, the root `data` or `input` first. */
  readonly imports = new Map<string, readonly string[]>();

  constructor(packageNode: RuleNode, packagePath: readonly string[], imports: Module["imports"]) {
    this.packageNode = packageNode;
    this.packagePath = packagePath;
    for (const { path, alias, at } of imports) {
      const [root] = path;
      if (root !== "data" && root !== "input") continue;
      const name = alias ?? path.at(-1);
      if (name === undefined || name === "input" || name === "data") continue;
      const known = this.imports.get(name);
      if (known && known.join("\0") !== path.join("\0"))
        throw compileError(at, `import must not shadow import of ${name}`);
      this.imports.set(name, path);
    }
  }

  isGlobal(name: string): boolean {
    return name === "input" || name === "data" || this.imports.has(name) || this.isRule(name);
  }

  /** True if a rule of this package begins with `name`; a package below is no rule. */
  isRule(name: string): boolean {
    const node = this.packageNode.child(name);
    return node !== undefined && (node.kind !== undefined || holdsRules(node));
  }
}

function holdsRules(node: RuleNode): boolean {
  if (node.isPackage) return false;
  for (const child of node.children.values()) if (child.kind !== undefined || holdsRules(child)) return true;
  return false;
}

interface Owned {
  readonly variable: Variable;
  /** Index of the literal that declares it; undefined if it is not declared but merely used. */
  readonly declaredBy: number | undefined;
}

/** The variables of one body and of those around it. */
export class Scope {
  readonly depth: number;
  private readonly outer: Scope | undefined;
  private readonly names: ModuleNames;
  private readonly owned = new Map<string, Owned>();
  private readonly counter: { slots: number };
  /** Index of the literal being resolved. */
  position = 0;

  constructor(names: ModuleNames, outer?: Scope) {
    this.names = names;
    this.outer = outer;
    this.depth = outer ? outer.depth + 1 : 0;
    this.counter = outer ? outer.counter : { slots: 0 };
  }

  get slots(): number {
    return this.counter.slots;
  }

  /** The variables of this body that its source names, wildcards included. */
  ownVariables(): Variable[] {
    return [...this.owned.values()].map(({ variable }) => variable);
  }

  /** A variable that no source names. */
  fresh(at: Position): Variable {
    return { name: "$", slot: this.counter.slots++, depth: this.depth, at };
  }

  declare(name: string, at: Position, declaredBy: number | undefined): Variable {
    if (!isWildcard(name)) {
      const isArgument = this.outer?.outer === undefined && this.outer?.owned.has(name);
      if (this.owned.has(name) || (isArgument && declaredBy !== undefined)) {
        throw compileError(at, `var ${name} declared or assigned above`);
      }
      if (name === "input" || name === "data") throw compileError(at, `variables must not shadow ${name}`);
    }
    const variable = { name, slot: this.counter.slots++, depth: this.depth, at };
    this.owned.set(name, { variable, declaredBy });
    return variable;
  }

  /** The variable called `name`, or undefined if no body around owns one. */
  find(name: string, at: Position): Variable | undefined {
    const owned = this.owned.get(name);
    if (!owned) return this.outer?.findFromInside(name);
    if (!this.isVisible(owned)) throw compileError(at, `var ${name} referenced above its declaration`);
    return owned.variable;
  }

  /** A closure does not see what is declared behind it. */
  private findFromInside(name: string): Variable | undefined {
    const owned = this.owned.get(name);
    return owned && this.isVisible(owned) ? owned.variable : this.outer?.findFromInside(name);
  }

  private isVisible({ declaredBy }: Owned): boolean {
    return declaredBy === undefined || declaredBy <= this.position;
  }

  /** Declares what `some`, `some … in` and `:=` in `body` declare, then takes in every other name the body uses. */
  prepare(body: Body, head: readonly Term[]): void {
    body.forEach((literal, index) => {
      for (const { name, at } of declaredNames(literal)) this.declare(name, at, index);
    });
    for (const literal of body) for (const term of openTerms(literal)) this.adopt(term);
    for (const term of head) this.adopt(term);
  }

  private adopt(term: Term): void {
    for (const { name, at } of openVariables(term)) {
      if (this.owned.has(name) || this.outer?.findFromInside(name) || this.names.isGlobal(name)) continue;
      this.declare(name, at, undefined);
    }
  }
}

/** The variables that a literal declares. */
export function declaredNames(literal: Literal): { readonly name: string; readonly at: Position }[] {
  switch (literal.kind) {
    case "some":
      return [...literal.names];
    case "some-in":
      return [...(literal.key ? patternVariables(literal.key) : []), ...patternVariables(literal.value)];
    case "term": {
      const { term } = literal;
      if (
        term.kind !== "call" ||
        !term.operator ||
        term.name.kind !== "variable" ||
        term.name.name !== "assign"
      )
        return [];
      const [left] = term.args;
      return left ? patternVariables(left) : [];
    }
    case "every":
    case "logic":
      return [];
  }
}

/** The variables that matching a value against `term` can bind. */
export function patternVariables(term: Term): { readonly name: string; readonly at: Position }[] {
  const found = new Map<string, { name: string; at: Position }>();
  const visit = (part: Term): void => {
    if (part.kind === "variable") found.set(part.name, part);
    else if (part.kind === "array") part.items.forEach(visit);
    else if (part.kind === "object") for (const [, value] of part.fields) visit(value);
  };
  visit(term);
  return [...found.values()];
}

/** The terms of a literal outside of bodies nested in it. */
function openTerms(literal: Literal): Term[] {
  // A name there may be a function's; as a variable it is in need of another place that binds it.
  const values = literal.modifiers.flatMap(({ value }): readonly Term[] => {
    if (value.kind === "variable") return [];
    return value.kind === "ref" ? value.path : [value];
  });
  switch (literal.kind) {
    case "some":
    case "logic":
      return values;
    case "some-in":
      return [...(literal.key ? [literal.key] : []), literal.value, literal.collection, ...values];
    case "every":
      return [literal.collection, ...values];
    case "term":
      return [literal.term, ...values];
  }
}

/** The variables in a term outside of its comprehensions, names of functions left out. */
function* openVariables(term: Term): IterableIterator<{ readonly name: string; readonly at: Position }> {
  switch (term.kind) {
    case "variable":
      yield term;
      return;
    case "ref":
      yield* openVariables(term.head);
      for (const step of term.path) yield* openVariables(step);
      return;
    case "call":
      for (const arg of term.args) yield* openVariables(arg);
      return;
    case "array":
    case "set":
      for (const item of term.items) yield* openVariables(item);
      return;
    case "object":
      for (const [key, value] of term.fields) {
        yield* openVariables(key);
        yield* openVariables(value);
      }
      return;
    case "template":
      for (const part of term.parts) if (typeof part !== "string") yield* openVariables(part);
      return;
    case "scalar":
    case "comprehension":
      return;
  }
}
