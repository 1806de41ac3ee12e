/** Random Rego programs that mostly compile: every rule kind, nested bodies, references, builtins. */

/** The input that every generated program sees. */
export const INPUT = {
  n: 3,
  s: "hello",
  xs: [1, 2, 3, 2],
  o: { a: 1, b: { c: [true, null] }, "d-e": "x" },
  rows: [
    { id: 1, tags: ["x", "y"] },
    { id: 2, tags: [] },
    { id: 3, tags: ["y"], extra: false },
  ],
};

/** A generator of small integers that gives the same ones for the same seed (xorshift32). */
export class Dice {
  private state: number;

  constructor(seed: number) {
    this.state = (seed * 2_654_435_761) >>> 0 || 1;
  }

  below(limit: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % limit;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

const SCALARS = ["0", "1", "2", "-3", '"a"', '"b"', '"hello"', "true", "false", "null", "1.5"];
const REFS = [
  "input.n",
  "input.s",
  "input.xs",
  "input.o",
  "input.o.b.c",
  'input.o["d-e"]',
  "input.rows",
  "input.missing",
];
const COLLECTIONS = [
  "input.xs",
  "input.o",
  "input.rows",
  "[1, 2, 3]",
  '{"a", "b", 1}',
  '{"k": 1, "l": [2]}',
  "input.o.b.c",
];
const UNARY = [
  "count",
  "sum",
  "max",
  "sort",
  "to_number",
  "upper",
  "is_string",
  "type_name",
  "abs",
  "json.marshal",
  "object.keys",
];
const BINARY = [
  "concat",
  "startswith",
  "split",
  "array.concat",
  "object.get",
  "format_int",
  "regex.match",
  "trim",
  "numbers.range",
];
const OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "|", "&"];

class Program {
  private readonly dice: Dice;
  private names = 0;

  constructor(seed: number) {
    this.dice = new Dice(seed);
  }

  rules(): string[] {
    return Array.from({ length: 3 + this.dice.below(5) }, (_, i) => this.rule(i));
  }

  private fresh(): string {
    return `v${this.names++}`;
  }

  private rule(index: number): string {
    const name = `r${index}`;
    const { text, variables } = this.body(2);
    const value = this.term(variables, 2, index);
    switch (this.dice.below(8)) {
      case 0:
        return `default ${name} := ${this.dice.pick(SCALARS)}\n${name} := ${value} if {\n${text}}`;
      case 1:
        return `${name} contains ${value} if {\n${text}}`;
      case 2:
        return `${name}[${this.term(variables, 1, index)}] := ${value} if {\n${text}}`;
      case 3:
        return `${name} := ${value} if {\n${text}} else := ${this.term([], 1, index)}`;
      case 4:
        return `f${index}(a, b) := ${this.term(["a", "b"], 2, index)}\n${name} := f${index}(${this.term([], 1, index)}, ${this.term([], 1, index)})`;
      case 5:
        return `${name}.x[${this.term(variables, 1, index)}] contains ${value} if {\n${text}}`;
      case 6:
        return `${name} := ${value} if {\n${text}}\n${name} := ${value} if {\n${text}}`;
      default:
        return `${name} := ${this.comprehension([], 2, index)}`;
    }
  }

  private body(depth: number): { text: string; variables: string[] } {
    const variables: string[] = [];
    let text = "";
    for (let i = 0; i < 1 + this.dice.below(3); i++) {
      const { line, bound } = this.expression(variables, depth);
      text += `\t${line}\n`;
      variables.push(...bound);
    }
    return { text, variables };
  }

  private expression(variables: readonly string[], depth: number): { line: string; bound: string[] } {
    const [x, y] = [this.fresh(), this.fresh()];
    const collection = this.dice.pick(COLLECTIONS);
    switch (this.dice.below(10)) {
      case 0:
        return { line: `some ${x} in ${collection}`, bound: [x] };
      case 1:
        return { line: `some ${x}, ${y} in ${collection}`, bound: [x, y] };
      case 2:
        return { line: `${x} := ${this.term(variables, depth, 0)}`, bound: [x] };
      case 3:
        return {
          line: `${this.dice.pick(["input.xs", "input.o", "input.rows"])}[${x}] = ${y}`,
          bound: [x, y],
        };
      case 4:
        // OPA takes calls inside of composites out of the negation (its issue 1877), ours does not: references only.
        return {
          line: `not ${this.dice.pick(REFS)} ${this.dice.pick(OPERATORS.slice(0, 6))} ${this.dice.pick(REFS)}`,
          bound: [],
        };
      case 5:
        return {
          line: `every ${x} in ${collection} { ${x} ${this.dice.pick(OPERATORS.slice(0, 6))} ${this.dice.pick(REFS)} }`,
          bound: [],
        };
      case 6:
        return {
          line: `[${x}, ${y}] = [${this.term(variables, 1, 0)}, ${this.term(variables, 1, 0)}]`,
          bound: [x, y],
        };
      case 7:
        return { line: `${this.term(variables, 1, 0)} in ${collection}`, bound: [] };
      case 8:
        return {
          line: `${x} := input.${this.dice.pick(["n", "q"])} with input.${this.dice.pick(["n", "q"])} as ${this.dice.pick(SCALARS)}`,
          bound: [x],
        };
      default:
        return { line: this.comparison(variables, depth), bound: [] };
    }
  }

  private comparison(variables: readonly string[], depth: number): string {
    // OPA's type checker knows nothing of the input, so that the comparison is not refused.
    return `${this.term(variables, depth, 0)} ${this.dice.pick(OPERATORS.slice(0, 6))} ${this.dice.pick(REFS)}`;
  }

  /** @param rules how many rules came before, which may be read. */
  private term(variables: readonly string[], depth: number, rules: number): string {
    if (depth === 0 || this.dice.below(3) === 0) {
      if (variables.length > 0 && this.dice.below(2) === 0) return this.dice.pick(variables);
      return this.dice.pick(this.dice.below(2) === 0 ? SCALARS : REFS);
    }
    const inner = () => this.term(variables, depth - 1, rules);
    switch (this.dice.below(9)) {
      case 0:
        return `[${inner()}, ${inner()}]`;
      case 1:
        return `{${inner()}, ${inner()}}`;
      case 2:
        return `{"a": ${inner()}, ${this.dice.pick(SCALARS.filter((key) => key !== '"a"'))}: ${inner()}}`;
      case 3:
        return `(${this.dice.pick(REFS)} ${this.dice.pick(OPERATORS)} ${this.dice.pick(REFS)})`;
      case 4:
        return `${this.dice.pick(UNARY)}(${this.dice.pick(REFS)})`;
      case 5:
        return this.binary(inner);
      case 6:
        return this.comprehension(variables, depth - 1, rules);
      case 7:
        return rules > 0 ? `r${this.dice.below(rules)}` : this.dice.pick(REFS);
      default:
        return `${this.dice.pick(["input.o", "input.xs", "input.rows"])}[${inner()}]`;
    }
  }

  private binary(inner: () => string): string {
    const name = this.dice.pick(BINARY);
    if (name === "object.get") return `object.get(${this.dice.pick(REFS)}, ${inner()}, ${inner()})`;
    if (name === "numbers.range") return `numbers.range(${this.dice.below(5)}, ${this.dice.below(5)})`;
    return `${name}(${this.dice.pick(REFS)}, ${this.dice.pick(REFS)})`;
  }

  private comprehension(variables: readonly string[], depth: number, rules: number): string {
    const x = this.fresh();
    const body = `some ${x} in ${this.dice.pick(COLLECTIONS)}; ${this.comparison([...variables, x], depth)}`;
    const head = this.term([...variables, x], 0, rules);
    switch (this.dice.below(3)) {
      case 0:
        return `[${head} | ${body}]`;
      case 1:
        return `{${head} | ${body}}`;
      default:
        return `{${x}: ${head} | ${body}}`;
    }
  }
}

/** The text of a module of package `name`. */
export function generateProgram(name: string, seed: number): string {
  return `package ${name}\n\n${new Program(seed).rules().join("\n\n")}\n`;
}
