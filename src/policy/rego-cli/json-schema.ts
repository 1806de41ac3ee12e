/**
 * JSON Schema, as OPA's builtins have it: which schemas are any, and what of a document is not as a schema wants it.
 *
 * Drafts 4, 6 and 7 together. References lead to places of the schema itself; nothing is fetched. Sources: JSON Schema Validation draft 7 and
 * draft 4 (exclusiveMinimum and exclusiveMaximum as booleans); OPA, internal/gojsonschema (words, order and kinds of what is found).
 */

import { isInteger, type RegoNumber, split } from "../rego/decimal.ts";
import { BuiltinFault } from "../rego/fault.ts";
import { formatJson } from "../rego/json.ts";
import { Regex } from "../rego/regex/regex.ts";
import { compareValues, equalValues, isArray, isNumber, RegoObject, type Value } from "../rego/values.ts";
import { checkSchema, resolveReference } from "./json-schema-check.ts";
import { hasFormat } from "./json-schema-formats.ts";

export interface SchemaIssue {
  /** As `number_gte`. */
  readonly type: string;
  /** Path of the place, with dots; `(Root)` for the document. */
  readonly field: string;
  readonly desc: string;
}

/** What was found at a place, and how near the document came: of several schemas the nearest one's issues are told. */
class Findings {
  readonly issues: SchemaIssue[] = [];
  score = 0;

  add(type: string, path: readonly string[], desc: string): void {
    this.issues.push({ type, field: path.length === 0 ? "(Root)" : path.join("."), desc });
    this.score -= 2;
  }

  merge(other: Findings): void {
    this.issues.push(...other.issues);
    this.score += other.score;
  }

  get isValid(): boolean {
    return this.issues.length === 0;
  }
}

/** @throws BuiltinFault for a schema that is none. @param step is called for each part that is looked at. */
export function schemaIssues(schema: Value, document: Value, step: () => void): readonly SchemaIssue[] {
  checkSchema(schema, step);
  const findings = new Findings();
  new Validator(schema, step).check(schema, document, [], findings);
  return findings.issues;
}

class Validator {
  readonly #root: Value;
  readonly #step: () => void;
  readonly #patterns = new Map<string, Regex>();
  #depth = 0;

  constructor(root: Value, step: () => void) {
    this.#root = root;
    this.#step = step;
  }

  check(schema: Value, node: Value, path: readonly string[], found: Findings): void {
    this.#step();
    if (this.#depth > MAX_DEPTH) throw new BuiltinFault("the schema leads too deep");
    this.#depth++;
    this.#checkOne(schema, node, path, found);
    this.#depth--;
  }

  #checkOne(schema: Value, node: Value, path: readonly string[], found: Findings): void {
    if (schema === true) return;
    if (!(schema instanceof RegoObject)) {
      found.add("false", path, "False always fails validation");
      return;
    }
    const reference = schema.get("$ref");
    if (typeof reference === "string") {
      this.check(resolveReference(this.#root, reference), node, path, found);
      return;
    }
    const types = typesOf(schema.get("type"));
    const given = jsonType(node);
    if (types.length > 0 && !types.includes(given) && !(given === "integer" && types.includes("number"))) {
      const expected = types.length === 1 ? types[0] : `[${types.join(",")}]`;
      found.add("invalid_type", path, `Invalid type. Expected: ${expected}, given: ${given}`);
      return;
    }
    this.#combinations(schema, node, path, found);
    if (isArray(node)) this.#array(schema, node, path, found);
    if (node instanceof RegoObject) this.#object(schema, node, path, found);
    if (isNumber(node)) number(schema, node, path, found);
    common(schema, node, path, found);
    if (typeof node === "string") this.#text(schema, node, path, found);
    if (node instanceof RegoObject) {
      for (const [name, below] of entriesOf(schema.get("properties"))) {
        const value = node.get(name);
        if (value !== undefined) this.check(below, value, [...path, name], found);
      }
    }
    found.score++;
  }

  #separately(schema: Value, node: Value, path: readonly string[]): Findings {
    const found = new Findings();
    this.check(schema, node, path, found);
    return found;
  }

  #combinations(schema: RegoObject, node: Value, path: readonly string[], found: Findings): void {
    const list = (name: string) => {
      const schemas = schema.get(name);
      return isArray(schemas) ? schemas : [];
    };
    const any = list("anyOf");
    if (any.length > 0) {
      const tried: Findings[] = [];
      for (const one of any) {
        tried.push(this.#separately(one, node, path));
        if (tried.at(-1)?.isValid) break;
      }
      if (!tried.at(-1)?.isValid) {
        found.add("number_any_of", path, "Must validate at least one schema (anyOf)");
        found.merge(nearest(tried));
      }
    }
    const one = list("oneOf").map((each) => this.#separately(each, node, path));
    const valid = one.filter(({ isValid }) => isValid).length;
    if (one.length > 0 && valid !== 1) {
      found.add("number_one_of", path, "Must validate one and only one schema (oneOf)");
      if (valid === 0) found.merge(nearest(one));
    }
    const all = list("allOf").map((each) => this.#separately(each, node, path));
    for (const each of all) found.merge(each);
    if (all.some(({ isValid }) => !isValid)) {
      found.add("number_all_of", path, "Must validate all the schemas (allOf)");
    }
    const not = schema.get("not");
    if (not !== undefined && this.#separately(not, node, path).isValid) {
      found.add("number_not", path, "Must not validate the schema (not)");
    }
    if (node instanceof RegoObject) this.#dependencies(schema, node, path, found);
    this.#condition(schema, node, path, found);
    found.score++;
  }

  #dependencies(schema: RegoObject, node: RegoObject, path: readonly string[], found: Findings): void {
    for (const [name, wanted] of entriesOf(schema.get("dependencies"))) {
      if (!node.has(name)) continue;
      if (!isArray(wanted)) {
        this.check(wanted, node, path, found);
        continue;
      }
      for (const other of wanted) {
        if (!node.has(other)) found.add("missing_dependency", path, `Has a dependency on ${other}`);
      }
    }
  }

  #condition(schema: RegoObject, node: Value, path: readonly string[], found: Findings): void {
    const condition = schema.get("if");
    if (condition === undefined) return;
    const holds = this.#separately(condition, node, path).isValid;
    const then = schema.get(holds ? "then" : "else");
    if (then === undefined) return;
    const result = this.#separately(then, node, path);
    if (result.isValid) return;
    if (holds) found.add("condition_then", path, 'Must validate "then" as "if" was valid');
    else found.add("condition_else", path, 'Must validate "else" as "if" was not valid');
    found.merge(result);
  }

  #array(schema: RegoObject, node: readonly Value[], path: readonly string[], found: Findings): void {
    const items = schema.get("items");
    const checkItem = (below: Value, index: number) =>
      found.merge(this.#separately(below, node[index] ?? null, [...path, `${index}`]));
    if (isArray(items)) {
      for (const [index, below] of items.slice(0, node.length).entries()) checkItem(below, index);
      const more = schema.get("additionalItems");
      if (items.length > 0 && items.length < node.length && more !== undefined) {
        if (more === false) {
          found.add("array_no_additional_items", path, "No additional items allowed on array");
        } else for (let index = items.length; index < node.length; index++) checkItem(more, index);
      }
    } else if (items !== undefined) {
      for (const index of node.keys()) checkItem(items, index);
    }
    bound(schema, "minItems", (limit) => {
      if (node.length < limit) {
        found.add("array_min_items", path, `Array must have at least ${limit} items`);
      }
    });
    bound(schema, "maxItems", (limit) => {
      if (node.length > limit) found.add("array_max_items", path, `Array must have at most ${limit} items`);
    });
    if (schema.get("uniqueItems") === true) repeated(node, path, found);
    const contains = schema.get("contains");
    if (contains !== undefined) {
      const tried: Findings[] = [];
      for (const [index, item] of node.entries()) {
        tried.push(this.#separately(contains, item, [...path, `${index}`]));
        if (tried.at(-1)?.isValid) break;
      }
      if (tried.length === 0 || !tried.at(-1)?.isValid) {
        found.add("contains", path, "At least one of the items must match");
        if (tried.length > 0) found.merge(nearest(tried));
      }
    }
    found.score++;
  }

  #object(schema: RegoObject, node: RegoObject, path: readonly string[], found: Findings): void {
    bound(schema, "minProperties", (limit) => {
      if (node.size < limit)
        found.add("array_min_properties", path, `Must have at least ${limit} properties`);
    });
    bound(schema, "maxProperties", (limit) => {
      if (node.size > limit) found.add("array_max_properties", path, `Must have at most ${limit} properties`);
    });
    const required = schema.get("required");
    for (const name of isArray(required) ? required : []) {
      if (node.has(name)) found.score++;
      else found.add("required", path, `${name} is required`);
    }
    const properties = schema.get("properties");
    const patterns = entriesOf(schema.get("patternProperties"));
    const more = schema.get("additionalProperties");
    for (const [name, value] of entriesOf(node)) {
      const matching = patterns.filter(([pattern]) => this.#matches(pattern, name));
      for (const [, below] of matching) found.merge(this.#separately(below, value, [...path, name]));
      if (matching.length > 0) found.score++;
      const isDescribed = properties instanceof RegoObject && properties.has(name);
      if (isDescribed || matching.length > 0 || more === undefined) continue;
      if (more === false) {
        found.add("additional_property_not_allowed", path, `Additional property ${name} is not allowed`);
      } else found.merge(this.#separately(more, value, [...path, name]));
    }
    const names = schema.get("propertyNames");
    if (names !== undefined) {
      for (const [name] of entriesOf(node)) {
        const result = this.#separately(names, name, path);
        if (result.isValid) continue;
        found.add("invalid_property_name", path, `Property name of "${name}" does not match`);
        found.merge(result);
      }
    }
    found.score++;
  }

  #text(schema: RegoObject, node: string, path: readonly string[], found: Findings): void {
    const length = [...node].length;
    bound(schema, "minLength", (limit) => {
      if (length < limit) {
        found.add("string_gte", path, `String length must be greater than or equal to ${limit}`);
      }
    });
    bound(schema, "maxLength", (limit) => {
      if (length > limit) {
        found.add("string_lte", path, `String length must be less than or equal to ${limit}`);
      }
    });
    const pattern = schema.get("pattern");
    if (typeof pattern === "string" && !this.#matches(pattern, node)) {
      found.add("pattern", path, `Does not match pattern '${pattern}'`);
    }
    found.score++;
  }

  #matches(pattern: string, text: string): boolean {
    let regex = this.#patterns.get(pattern);
    if (regex === undefined) {
      regex = new Regex(pattern);
      this.#patterns.set(pattern, regex);
    }
    return regex.test(text, this.#step);
  }
}

/** Schemas that lead through each other. */
const MAX_DEPTH = 400;

function common(schema: RegoObject, node: Value, path: readonly string[], found: Findings): void {
  const field = path.length === 0 ? "(Root)" : path.join(".");
  const wanted = schema.get("const");
  if (wanted !== undefined && !equalValues(wanted, node)) {
    found.add("const", path, `${field} does not match: ${formatJson(wanted)}`);
  }
  const allowed = schema.get("enum");
  if (isArray(allowed) && !allowed.some((one) => equalValues(one, node))) {
    const list = allowed.map(formatJson).join(", ");
    found.add("enum", path, `${field} must be one of the following: ${list}`);
  }
  const format = schema.get("format");
  if (typeof format === "string" && typeof node === "string" && !hasFormat(format, node)) {
    found.add("format", path, `Does not match format '${format}'`);
  }
  found.score++;
}

function number(schema: RegoObject, node: RegoNumber, path: readonly string[], found: Findings): void {
  const limit = (name: string): RegoNumber | undefined => {
    const value = schema.get(name);
    return isNumber(value) ? value : undefined;
  };
  const divisor = limit("multipleOf");
  if (divisor !== undefined && !isMultiple(node, divisor)) {
    found.add("multiple_of", path, `Must be a multiple of ${formatJson(divisor)}`);
  }
  const side = (
    plain: "maximum" | "minimum",
    exclusive: string,
    sign: number,
    words: string,
    types: string,
  ) => {
    const isExclusive = schema.get(exclusive) === true;
    const inclusiveLimit = isExclusive ? undefined : limit(plain);
    const exclusiveLimit = isExclusive ? limit(plain) : limit(exclusive);
    if (inclusiveLimit !== undefined && sign * compareValues(node, inclusiveLimit) > 0) {
      found.add(`${types}e`, path, `Must be ${words} than or equal to ${formatJson(inclusiveLimit)}`);
    }
    if (exclusiveLimit !== undefined && sign * compareValues(node, exclusiveLimit) >= 0) {
      found.add(types, path, `Must be ${words} than ${formatJson(exclusiveLimit)}`);
    }
  };
  side("maximum", "exclusiveMaximum", 1, "less", "number_lt");
  side("minimum", "exclusiveMinimum", -1, "greater", "number_gt");
  found.score++;
}

function isMultiple(value: RegoNumber, divisor: RegoNumber): boolean {
  const [a, b] = [split(value), split(divisor)];
  const exponent = Math.min(a.exponent, b.exponent);
  const scaled = ({ coefficient, exponent: own }: typeof a) => coefficient * 10n ** BigInt(own - exponent);
  return scaled(a) % scaled(b) === 0n;
}

function repeated(node: readonly Value[], path: readonly string[], found: Findings): void {
  const seen = new Map<string, number>();
  for (const [index, item] of node.entries()) {
    const text = formatJson(item);
    const before = seen.get(text);
    if (before !== undefined) {
      found.add("unique", path, `array items[${before},${index}] must be unique`);
    }
    seen.set(text, index);
  }
}

function bound(schema: RegoObject, name: string, use: (limit: number) => void): void {
  const limit = schema.get(name);
  if (typeof limit === "number") use(limit);
}

/** Of those that failed the one that came nearest, the first of them. */
function nearest(tried: readonly Findings[]): Findings {
  return tried.reduce((best, one) => (one.score > best.score ? one : best), tried[0] ?? new Findings());
}

/** Members whose names are texts, in order. */
function entriesOf(value: Value | undefined): [string, Value][] {
  if (!(value instanceof RegoObject)) return [];
  return [...value.entries()].flatMap(([key, field]): [string, Value][] =>
    typeof key === "string" ? [[key, field]] : [],
  );
}

function typesOf(value: Value | undefined): string[] {
  if (typeof value === "string") return [value];
  return isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

function jsonType(value: Value): string {
  if (value === null) return "null";
  if (isNumber(value)) return isInteger(value) ? "integer" : "number";
  if (isArray(value)) return "array";
  return value instanceof RegoObject ? "object" : typeof value;
}
