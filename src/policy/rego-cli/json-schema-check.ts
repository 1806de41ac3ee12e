/** Whether a document is a JSON schema at all. Sources: as `json-schema.ts`. */
import { isInteger } from "../rego/decimal.ts";
import { BuiltinFault } from "../rego/fault.ts";
import { formatJson } from "../rego/json.ts";
import { Regex } from "../rego/regex/regex.ts";
import { RegexFault } from "../rego/regex/syntax.ts";
import { compareValues, isArray, isNumber, RegoObject, RegoSet, type Value } from "../rego/values.ts";

const TYPES = ["array", "boolean", "integer", "number", "null", "object", "string"];
const SCHEMAS = ["additionalItems", "additionalProperties", "contains", "propertyNames"];
const COMBINED = ["not", "if", "then", "else"];
const LISTS = ["allOf", "anyOf", "oneOf"];
const TABLES = ["properties", "patternProperties", "definitions"];
const COUNTS = [
  ["minLength", "maxLength"],
  ["minProperties", "maxProperties"],
  ["minItems", "maxItems"],
] as const;

/** @throws BuiltinFault with OPA's words where it has some. */
export function checkSchema(schema: Value, step: () => void): void {
  new SchemaCheck(schema, step).check(schema);
}

/** The part of `root` that a reference leads to. @throws BuiltinFault for one that leads out of it, or nowhere. */
export function resolveReference(root: Value, reference: string): Value {
  const hash = reference.indexOf("#");
  const [base, pointer] =
    hash < 0 ? [reference, ""] : [reference.slice(0, hash), decode(reference.slice(hash + 1))];
  let place = base === "" || idOf(root) === base ? root : named(root, base);
  if (place !== undefined && pointer !== "" && !pointer.startsWith("/"))
    return named(root, `#${pointer}`) ?? nowhere(reference);
  for (const part of pointer.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (isArray(place)) place = /^\d{1,9}$/.test(key) ? place[Number(key)] : undefined;
    else place = place instanceof RegoObject ? place.get(key) : undefined;
  }
  return place ?? nowhere(reference);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
}

function nowhere(reference: string): never {
  throw new BuiltinFault(`Reference ${reference} leads to nothing in the schema`);
}

function idOf(value: Value): Value | undefined {
  return value instanceof RegoObject ? (value.get("$id") ?? value.get("id")) : undefined;
}

/** The part that has an identifier. */
function named(value: Value, id: string): Value | undefined {
  if (idOf(value) === id) return value;
  const members = isArray(value)
    ? value
    : value instanceof RegoObject
      ? [...value.entries()].map(([, field]) => field)
      : [];
  for (const member of members) {
    const found = named(member, id);
    if (found !== undefined) return found;
  }
  return undefined;
}

class SchemaCheck {
  readonly #root: Value;
  readonly #step: () => void;

  constructor(root: Value, step: () => void) {
    this.#root = root;
    this.#step = step;
  }

  check(schema: Value): void {
    this.#step();
    if (typeof schema === "boolean") return;
    if (!(schema instanceof RegoObject)) throw invalidType("valid schema", formatJson(schema));
    const reference = schema.get("$ref");
    if (reference !== undefined) {
      if (typeof reference !== "string") throw invalidType("string", "$ref");
      resolveReference(this.#root, reference);
      return;
    }
    checkTypes(schema.get("type"));
    for (const name of TABLES) {
      const table = schema.get(name);
      if (table === undefined) continue;
      if (!(table instanceof RegoObject)) throw new BuiltinFault(`${name} must be of type object`);
      for (const [key, below] of table.entries()) {
        if (name === "patternProperties") checkPattern(key, `Invalid regex pattern '${key}'`);
        this.check(below);
      }
    }
    const items = schema.get("items");
    if (isArray(items)) for (const below of items) this.check(below);
    else if (items !== undefined) this.check(items);
    for (const name of SCHEMAS) {
      const below = schema.get(name);
      if (below !== undefined) this.check(below);
    }
    this.#dependencies(schema.get("dependencies"));
    checkNumbers(schema);
    checkCounts(schema);
    checkTexts(schema);
    for (const name of LISTS) {
      const list = schema.get(name);
      if (list === undefined) continue;
      if (!isArray(list)) throw new BuiltinFault(`${name} must be of an array`);
      for (const below of list) this.check(below);
    }
    for (const name of COMBINED) {
      const below = schema.get(name);
      if (below !== undefined) this.check(below);
    }
  }

  #dependencies(table: Value | undefined): void {
    if (table === undefined) return;
    if (!(table instanceof RegoObject)) throw new BuiltinFault("dependencies must be of type object");
    for (const [, wanted] of table.entries()) {
      if (!isArray(wanted)) this.check(wanted);
      else if (!wanted.every((name) => typeof name === "string")) {
        throw new BuiltinFault("dependency must be of type schema or array of strings");
      }
    }
  }
}

function checkTypes(types: Value | undefined): void {
  if (types === undefined) return;
  const list = isArray(types) ? types : [types];
  for (const [index, type] of list.entries()) {
    if (typeof type !== "string") throw invalidType("string/array of strings", "type");
    if (!TYPES.includes(type)) {
      throw new BuiltinFault(
        `has a primitive type that is NOT VALID -- given: /${type}/ Expected valid values are:[${TYPES.join(" ")}]`,
      );
    }
    if (list.indexOf(type) < index) throw new BuiltinFault(`${type} type is duplicated`);
  }
}

function checkNumbers(schema: RegoObject): void {
  const divisor = schema.get("multipleOf");
  if (divisor !== undefined && !isNumber(divisor)) throw invalidType("number", "multipleOf");
  if (isNumber(divisor) && compareValues(divisor, 0) <= 0) {
    throw new BuiltinFault("multipleOf must be strictly greater than 0");
  }
  for (const [plain, exclusive] of [
    ["minimum", "exclusiveMinimum"],
    ["maximum", "exclusiveMaximum"],
  ] as const) {
    const limit = schema.get(plain);
    const strict = schema.get(exclusive);
    if (limit !== undefined && !isNumber(limit)) throw new BuiltinFault(`${plain} must be of a number`);
    if (typeof strict === "boolean") {
      if (strict && limit === undefined)
        throw new BuiltinFault(`${exclusive} cannot be used without ${plain}`);
    } else if (strict !== undefined && !isNumber(strict)) throw invalidType("boolean/number", exclusive);
  }
}

function checkCounts(schema: RegoObject): void {
  for (const pair of COUNTS) {
    for (const name of pair) {
      const count = schema.get(name);
      if (count === undefined) continue;
      if (!isNumber(count) || !isInteger(count)) throw new BuiltinFault(`${name} must be of an integer`);
      if (compareValues(count, 0) < 0) throw new BuiltinFault(`${name} must be greater than or equal to 0`);
    }
    const [least, most] = pair.map((name) => schema.get(name));
    if (
      pair[0] !== "minItems" &&
      least !== undefined &&
      most !== undefined &&
      compareValues(least, most) > 0
    ) {
      throw new BuiltinFault(`${pair[0]} cannot be greater than ${pair[1]}`);
    }
  }
  const unique = schema.get("uniqueItems");
  if (unique !== undefined && typeof unique !== "boolean")
    throw new BuiltinFault("uniqueItems must be of a boolean");
}

function checkTexts(schema: RegoObject): void {
  const required = schema.get("required");
  if (required !== undefined) {
    if (!isArray(required)) throw invalidType("array", "required");
    for (const [index, name] of required.entries()) {
      if (typeof name !== "string") throw new BuiltinFault("required items must be string");
      if (required.indexOf(name) < index) throw new BuiltinFault("required items must be unique");
    }
  }
  const allowed = schema.get("enum");
  if (allowed !== undefined && !isArray(allowed)) throw invalidType("array", "enum");
  if (isArray(allowed) && RegoSet.of(allowed).size < allowed.length) {
    throw new BuiltinFault("enum items must be unique");
  }
  const pattern = schema.get("pattern");
  if (pattern !== undefined) {
    if (typeof pattern !== "string") throw invalidType("string", "pattern");
    checkPattern(pattern, "pattern must be a valid regex");
  }
  const format = schema.get("format");
  if (format !== undefined && typeof format !== "string")
    throw new BuiltinFault(`format must be a valid format ${formatJson(format)}`);
}

function checkPattern(pattern: Value, message: string): void {
  try {
    new Regex(String(pattern));
  } catch (error) {
    if (error instanceof RegexFault) throw new BuiltinFault(message);
    throw error;
  }
}

function invalidType(expected: string, given: string): BuiltinFault {
  return new BuiltinFault(`Invalid type. Expected: ${expected}, given: ${given}`);
}
