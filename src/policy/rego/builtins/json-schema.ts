/** JSON Schema, which only hosts have a library for. Source: OPA policy reference, "Object". */
import { hasCode } from "../../../kata-error.ts";
import { type BuiltinCall, builtin, fault } from "../builtin-registry.ts";
import type { SchemaProvider } from "../evaluation.ts";
import { BuiltinFault } from "../fault.ts";
import { parseJson } from "../json.ts";
import { isNumber, RegoObject, type Value } from "../values.ts";

function provider(name: string, { host }: BuiltinCall): SchemaProvider {
  if (host.schemas === undefined) throw fault(name, "this host reads no JSON schemas");
  return host.schemas;
}

/** Documents and schemas may be texts. */
function documentOf(value: Value | undefined): Value {
  if (typeof value !== "string") return value ?? null;
  try {
    return parseJson(value);
  } catch (error) {
    if (error instanceof BuiltinFault || hasCode(error, "invalid-json"))
      throw new BuiltinFault("invalid JSON string");
    throw error;
  }
}

/** What may be a schema at all, in OPA's words if it is none. */
function schemaOf(value: Value | undefined): Value {
  if (typeof value !== "string" && (value === null || typeof value !== "object" || isNumber(value)))
    throw new BuiltinFault("wrong type, expected string or object");
  const schema = documentOf(value);
  if (!(schema instanceof RegoObject) && typeof schema !== "boolean")
    throw new BuiltinFault("schema is invalid");
  return schema;
}

function named<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof BuiltinFault) throw fault(name, error.message);
    throw error;
  }
}

export const JSON_SCHEMAS = [
  builtin("json.match_schema", "so,so", ([document, schema], call) => {
    const name = "json.match_schema";
    const step = () => call.run.step();
    const issues = named(name, () =>
      provider(name, call).issues(documentOf(schema), documentOf(document), step),
    );
    const list = issues.map(({ type, field, desc }) => {
      call.run.charge(8);
      return RegoObject.of([
        ["error", `${field}: ${desc}`],
        ["type", type],
        ["field", field],
        ["desc", desc],
      ]);
    });
    return [issues.length === 0, list];
  }),
  builtin("json.verify_schema", "*", ([schema], call) => {
    const schemas = provider("json.verify_schema", call);
    try {
      schemas.check(schemaOf(schema), () => call.run.step());
      return [true, null];
    } catch (error) {
      if (error instanceof BuiltinFault) return [false, `jsonschema: ${error.message}`];
      throw error;
    }
  }),
];
