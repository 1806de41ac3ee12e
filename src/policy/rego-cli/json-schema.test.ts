/** JSON schemas as OPA's builtins have them: compared with OPA by `tests/conformance/rego-compliance.ts` and, on made up ones, by hand. */
import { describe, expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import { fromJson, toJson } from "../rego/json.ts";
import { compileModules } from "../rego/program.ts";
import { nodeProviders } from "./node-providers.ts";

const PROGRAM = compileModules([
  {
    name: "schema.rego",
    text: "package t\nmatch := json.match_schema(input.document, input.schema)\nverify := json.verify_schema(input.schema)\n",
  },
]);

function evaluate(rule: string, input: unknown, steps = 100_000): unknown {
  const result = PROGRAM.evaluate(`data.t.${rule}`, {
    input: fromJson(input),
    host: nodeProviders(),
    strictBuiltinErrors: true,
    limits: { steps, depth: 500, memory: 1_000_000 },
  });
  return result.defined ? toJson(result.value) : undefined;
}

/** What is wrong with `document`, each as `KIND FIELD`. */
function kinds(schema: unknown, document: unknown): string[] {
  const text = JSON.stringify(document);
  const [valid, issues] = evaluate("match", { schema, document: text }) as [
    boolean,
    { readonly type: string; readonly field: string; readonly error: string; readonly desc: string }[],
  ];
  expect(valid).toBe(issues.length === 0);
  for (const { error, field, desc } of issues) expect(error).toBe(`${field}: ${desc}`);
  return issues.map(({ type, field }) => `${type} ${field}`);
}

describe("a schema", () => {
  test.each<[unknown, unknown, string[]]>([
    [{ type: "integer" }, 1.0, []],
    [{ type: ["string", "null"] }, 1, ["invalid_type (Root)"]],
    [{ type: "number" }, 1, []],
    [{ minimum: 1, exclusiveMinimum: true }, 1, ["number_gt (Root)"]],
    [{ exclusiveMaximum: 2 }, 2, ["number_lt (Root)"]],
    [{ maximum: 2, minimum: 3 }, 2.5, ["number_lte (Root)", "number_gte (Root)"]],
    [{ multipleOf: 0.1 }, 0.3, []],
    [{ multipleOf: 0.2 }, 0.3, ["multiple_of (Root)"]],
    [{ minLength: 2, maxLength: 2 }, "é😀", []],
    [{ pattern: "^a" }, "ba", ["pattern (Root)"]],
    [{ enum: [1, { a: [1] }] }, { a: [1] }, []],
    [{ const: 1 }, 2, ["const (Root)"]],
    [{ properties: { a: { properties: { b: { type: "string" } } } } }, { a: { b: 1 } }, ["invalid_type a.b"]],
    [{ required: ["a", "b"] }, { a: 1 }, ["required (Root)"]],
    [
      { properties: { a: true }, patternProperties: { "^x": { type: "null" } }, additionalProperties: false },
      { a: 1, x1: 1, z: 1 },
      ["invalid_type x1", "additional_property_not_allowed (Root)"],
    ],
    [{ propertyNames: { maxLength: 1 } }, { ab: 1 }, ["invalid_property_name (Root)", "string_lte (Root)"]],
    [
      { dependencies: { a: ["b"], c: { required: ["d"] } } },
      { a: 1, c: 1 },
      ["missing_dependency (Root)", "required (Root)"],
    ],
    [{ minProperties: 1, maxProperties: 1 }, {}, ["array_min_properties (Root)"]],
    [{ items: { type: "string" } }, ["a", 1], ["invalid_type 1"]],
    [{ items: [true], additionalItems: false }, [1, 2], ["array_no_additional_items (Root)"]],
    [{ items: [true], additionalItems: { type: "null" } }, [1, 2], ["invalid_type 1"]],
    [{ minItems: 2, uniqueItems: true }, [1, 1, 1], ["unique (Root)", "unique (Root)"]],
    [{ contains: { const: 1 } }, [2, 1], []],
    [{ contains: { const: 1 } }, [], ["contains (Root)"]],
    [
      { anyOf: [{ type: "object", required: ["a"] }, { type: "null" }] },
      {},
      ["number_any_of (Root)", "required (Root)"],
    ],
    [{ oneOf: [true, true] }, 1, ["number_one_of (Root)"]],
    [{ allOf: [{ minimum: 2 }, true] }, 1, ["number_gte (Root)", "number_all_of (Root)"]],
    [{ not: {} }, 1, ["number_not (Root)"]],
    [
      JSON.parse('{"if": {"type": "string"}, "then": {"minLength": 1}, "else": false}'),
      "",
      ["condition_then (Root)", "string_gte (Root)"],
    ],
    [{ if: { type: "string" }, else: false }, 1, ["condition_else (Root)", "false (Root)"]],
    [{ definitions: { a: { type: "null" } }, items: { $ref: "#/definitions/a" } }, [1], ["invalid_type 0"]],
    [
      { properties: { a: { $ref: "#" } }, additionalProperties: false },
      { a: { b: 1 } },
      ["additional_property_not_allowed a"],
    ],
    [{ format: "date" }, "2023-02-29", ["format (Root)"]],
    [{ format: "date-time" }, "2024-02-29T10:00:00Z", []],
    [{ format: "ipv4" }, "1.2.3", ["format (Root)"]],
    [{ format: "uri" }, "a:b", []],
    [{ format: "uri" }, "b", ["format (Root)"]],
    [{ format: "made-up" }, "x", []],
  ])("%j says of %j: %j", (schema, document, expected) => {
    expect(kinds(schema, document)).toEqual(expected);
  });

  test.each<[unknown, string]>([
    [{ type: "text" }, "has a primitive type that is NOT VALID"],
    [{ minLength: -1 }, "minLength must be greater than or equal to 0"],
    [{ minLength: 2, maxLength: 1 }, "minLength cannot be greater than maxLength"],
    [{ pattern: "(?=a)" }, "pattern must be a valid regex"],
    [{ multipleOf: 0 }, "multipleOf must be strictly greater than 0"],
    [{ enum: [1, 1] }, "enum items must be unique"],
    [{ properties: [] }, "properties must be of type object"],
    [{ allOf: [{ $ref: "#/nowhere" }] }, "leads to nothing"],
    [{ $ref: "https://example.com/schema" }, "leads to nothing"],
  ])("%j is none", (schema, why) => {
    expect(evaluate("verify", { schema })).toEqual([false, expect.stringContaining(why)]);
    expect(() => evaluate("match", { schema, document: "1" })).toThrow(KataError);
  });

  test("that leads to itself ends at the limit", () => {
    const schema = { $ref: "#/definitions/a", definitions: { a: { $ref: "#/definitions/a" } } };
    expect(() => evaluate("match", { schema, document: "1" })).toThrow(/too deep/);
    const wide = {
      definitions: { a: { anyOf: [{ not: { $ref: "#/definitions/a" } }, { $ref: "#/definitions/a" }] } },
      allOf: [{ $ref: "#/definitions/a" }],
    };
    expect(() => evaluate("match", { schema: wide, document: "1" }, 1000)).toThrow(KataError);
  });
});

test("hosts without a library say so", () => {
  const options = { strictBuiltinErrors: true, input: fromJson({ schema: {}, document: "1" }) };
  expect(() => PROGRAM.evaluate("data.t.match", options)).toThrow(/reads no JSON schemas/);
});

test("what is no schema is told in OPA's words", () => {
  const verdicts = [5, null, true, "{", "[]", "5", []].map((schema) => evaluate("verify", { schema }));
  const [type, json, schema] = [
    "wrong type, expected string or object",
    "invalid JSON string",
    "schema is invalid",
  ].map((why) => [false, `jsonschema: ${why}`]);
  expect(verdicts).toEqual([type, type, type, json, schema, schema, schema]);
});
