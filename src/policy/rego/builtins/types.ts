/** Types and casts. Source: OPA policy reference, "Types", "Conversions". */
import { builtin, fault } from "../builtin-registry.ts";
import { isArray, RegoObject, RegoSet, type TypeName, typeName, type Value } from "../values.ts";

/** True for that type; other types make the call undefined. */
function isType(name: string, type: TypeName) {
  return builtin(name, "*", ([value]) => typeName(value as Value) === type);
}

function cast(name: string, type: TypeName) {
  return builtin(name, "*", ([value]) => {
    if (typeName(value as Value) !== type) throw fault(name, `operand 1 must be ${type}`);
    return value;
  });
}

export const TYPES = [
  isType("is_array", "array"),
  isType("is_boolean", "boolean"),
  isType("is_null", "null"),
  isType("is_number", "number"),
  isType("is_object", "object"),
  isType("is_set", "set"),
  isType("is_string", "string"),
  builtin("type_name", "*", ([value]) => typeName(value as Value)),
  cast("cast_boolean", "boolean"),
  cast("cast_null", "null"),
  cast("cast_object", "object"),
  cast("cast_string", "string"),
  builtin("cast_array", "*", ([value]) => {
    if (value instanceof RegoSet) return value.values();
    if (isArray(value)) return value;
    throw fault("cast_array", "operand 1 must be an array or a set");
  }),
  builtin("cast_set", "*", ([value]) => {
    if (value instanceof RegoSet) return value;
    if (isArray(value)) return RegoSet.of(value);
    if (value instanceof RegoObject) throw fault("cast_set", "an object is no set");
    throw fault("cast_set", "operand 1 must be an array or a set");
  }),
];
