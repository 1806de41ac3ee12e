/** Values as JSON that keeps sets and keys that are no strings: `{"set!": […]}` and `{"object!": [{"key": …, "value": …}]}`. */
import { isArray, RegoObject, RegoSet, type Value } from "../rego/values.ts";

export const SET_KEY = "set!";
export const OBJECT_KEY = "object!";

export function encodeValue(value: Value): Value {
  if (isArray(value)) return value.map(encodeValue);
  if (value instanceof RegoSet) return RegoObject.of([[SET_KEY, value.values().map(encodeValue)]]);
  if (!(value instanceof RegoObject)) return value;
  const entries = [...value.entries()];
  if (entries.every(([key]) => typeof key === "string")) {
    return RegoObject.of(entries.map(([key, field]) => [key, encodeValue(field)]));
  }
  const pairs = entries.map(([key, field]) =>
    RegoObject.of([
      ["key", encodeValue(key)],
      ["value", encodeValue(field)],
    ]),
  );
  return RegoObject.of([[OBJECT_KEY, pairs]]);
}

export function decodeValue(value: Value): Value {
  if (isArray(value)) return value.map(decodeValue);
  if (!(value instanceof RegoObject)) return value;
  if (value.size === 1) {
    const members = value.get(SET_KEY);
    if (isArray(members)) return RegoSet.of(members.map(decodeValue));
    const pairs = value.get(OBJECT_KEY);
    if (isArray(pairs)) return RegoObject.of(pairs.flatMap(decodePair));
  }
  return RegoObject.of([...value.unorderedEntries()].map(([key, field]) => [key, decodeValue(field)]));
}

function decodePair(pair: Value): [Value, Value][] {
  if (!(pair instanceof RegoObject)) return [];
  const key = pair.get("key");
  const value = pair.get("value");
  return key === undefined || value === undefined ? [] : [[decodeValue(key), decodeValue(value)]];
}
