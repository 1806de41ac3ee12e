/** JSON texts, and documents cut and patched by paths. Source: OPA policy reference, "Object", "Encoding"; RFC 6902. */
import { builtin, fault, membersOf, objectOf } from "../builtin-registry.ts";
import { member } from "../document.ts";
import { formatJson, formatPrettyJson, formatRego, parseJson } from "../json.ts";
import { equalValues, isArray, type Key, keyOf, meter, RegoObject, RegoSet, type Value } from "../values.ts";

/** Go's encoder writes these three so that the text can stand in HTML. */
function marshal(text: string): string {
  return text.replace(/[<>&]/g, (c) => (c === "<" ? "\\u003c" : c === ">" ? "\\u003e" : "\\u0026"));
}

/** Paths by their steps; a step without branches is an end, and stays one when a longer path goes through it. */
type PathTree = Map<Key, { readonly key: Value; below: PathTree }>;

function pathTree(name: string, paths: Value | undefined): PathTree {
  const tree: PathTree = new Map();
  for (const path of membersOf(name, 1, paths)) {
    let at = tree;
    const steps = pathSteps(name, path);
    for (const [i, key] of steps.entries()) {
      let next = at.get(keyOf(key));
      if (next && next.below.size === 0) break;
      if (!next) {
        next = { key, below: new Map() };
        at.set(keyOf(key), next);
      }
      if (i === steps.length - 1) next.below = new Map();
      at = next.below;
    }
  }
  return tree;
}

function pathSteps(name: string, path: Value | undefined): readonly Value[] {
  if (isArray(path)) return path;
  if (typeof path !== "string") throw fault(name, "a path is a string or an array");
  if (path === "") return [];
  const text = path.startsWith("/") ? path.slice(1) : path;
  return text.split("/").map((step) => step.replace(/~1/g, "/").replace(/~0/g, "~"));
}

function filter(value: Value, tree: PathTree): Value {
  if (tree.size === 0) return value;
  if (value instanceof RegoObject) {
    const result = new RegoObject();
    for (const { key, below } of tree.values()) {
      const field = value.get(key);
      if (field !== undefined) result.set(key, filter(field, below));
    }
    return result;
  }
  if (value instanceof RegoSet) {
    const result = new RegoSet();
    for (const { key, below } of tree.values()) if (value.has(key)) result.add(filter(key, below));
    return result;
  }
  if (!isArray(value)) return value;
  return value.flatMap((item, i) => {
    const step = tree.get(`${i}`);
    return step ? [filter(item, step.below)] : [];
  });
}

function remove(value: Value, tree: PathTree): Value {
  if (value instanceof RegoObject) {
    return RegoObject.of(
      [...value.unorderedEntries()].flatMap(([key, field]): [Value, Value][] => {
        const step = tree.get(keyOf(key));
        if (!step) return [[key, field]];
        return step.below.size === 0 ? [] : [[key, remove(field, step.below)]];
      }),
    );
  }
  const keep = (key: Value, item: Value): Value[] => {
    const step = tree.get(keyOf(key));
    if (!step) return [item];
    return step.below.size === 0 ? [] : [remove(item, step.below)];
  };
  if (value instanceof RegoSet) return RegoSet.of([...value.unordered()].flatMap((item) => keep(item, item)));
  return isArray(value) ? value.flatMap((item, i) => keep(`${i}`, item)) : value;
}

/** Thrown where a patch does not fit: the whole patch is then undefined. */
class PatchMismatch extends Error {}

/** The document with `change` made to the container that `path` ends in. */
function editAt(
  document: Value,
  path: readonly Value[],
  change: (container: Value, key: Value) => Value,
): Value {
  const [key, ...rest] = path;
  if (key === undefined) throw new PatchMismatch("the whole document has no container");
  if (rest.length === 0) return change(document, key);
  const found = childAt(document, key);
  if (found === undefined) throw new PatchMismatch("no such path");
  return withChild(document, key, editAt(found, rest, change));
}

function arrayIndex(items: readonly Value[], key: Value, isNew: boolean): number {
  if (isNew && key === "-") return items.length;
  const index =
    typeof key === "number" ? key : typeof key === "string" && /^(0|[1-9]\d*)$/.test(key) ? Number(key) : -1;
  if (!Number.isInteger(index) || index < 0 || index >= items.length + (isNew ? 1 : 0))
    throw new PatchMismatch("no such index");
  return index;
}

function childAt(container: Value, key: Value): Value | undefined {
  if (isArray(container)) return container[arrayIndex(container, key, false)];
  return member(container, key);
}

/** Counts the copy of a container that a change makes. */
function chargeCopy(container: Value): void {
  if (isArray(container)) meter.charge(container.length);
  else if (container instanceof RegoSet || container instanceof RegoObject) meter.charge(container.size);
}

function withChild(container: Value, key: Value, child: Value): Value {
  chargeCopy(container);
  if (isArray(container)) return container.with(arrayIndex(container, key, false), child);
  if (container instanceof RegoSet) {
    return RegoSet.of([...[...container.unordered()].filter((item) => !equalValues(item, key)), child]);
  }
  return insert(container, key, child);
}

function insert(container: Value, key: Value, value: Value): Value {
  chargeCopy(container);
  if (isArray(container)) return container.toSpliced(arrayIndex(container, key, true), 0, value);
  if (container instanceof RegoSet) {
    if (!equalValues(key, value)) throw new PatchMismatch("an element's path is the element");
    return RegoSet.of([...container.unordered(), value]);
  }
  if (!(container instanceof RegoObject)) throw new PatchMismatch("scalars have no members");
  const copy = container.copy();
  copy.set(key, value);
  return copy;
}

function cut(container: Value, key: Value): Value {
  chargeCopy(container);
  if (childAt(container, key) === undefined) throw new PatchMismatch("nothing to remove");
  if (isArray(container)) return container.toSpliced(arrayIndex(container, key, false), 1);
  if (container instanceof RegoSet)
    return RegoSet.of([...container.unordered()].filter((item) => !equalValues(item, key)));
  if (!(container instanceof RegoObject)) throw new PatchMismatch("scalars have no members");
  return RegoObject.of([...container.unorderedEntries()].filter(([name]) => !equalValues(name, key)));
}

function valueAt(document: Value, path: readonly Value[]): Value {
  let found: Value | undefined = document;
  for (const key of path) found = found === undefined ? undefined : childAt(found, key);
  if (found === undefined) throw new PatchMismatch("no such path");
  return found;
}

function add(document: Value, path: readonly Value[], value: Value): Value {
  return path.length === 0
    ? value
    : editAt(document, path, (container, key) => insert(container, key, value));
}

function removeAt(document: Value, path: readonly Value[]): Value {
  return editAt(document, path, cut);
}

function replace(document: Value, path: readonly Value[], value: Value): Value {
  if (path.length === 0) return value;
  return editAt(document, path, (container, key) => {
    if (childAt(container, key) === undefined) throw new PatchMismatch("nothing to replace");
    return withChild(container, key, value);
  });
}

function applyOperation(document: Value, operation: RegoObject): Value {
  const name = operation.get("op");
  const path = pathSteps("json.patch", operation.get("path"));
  const from = () => pathSteps("json.patch", operation.get("from"));
  const value = (): Value => {
    const found = operation.get("value");
    if (found === undefined) throw fault("json.patch", `missing attribute 'value'`);
    return found;
  };
  switch (name) {
    case "add":
      return add(document, path, value());
    case "remove":
      return removeAt(document, path);
    case "replace":
      return replace(document, path, value());
    case "move": {
      const moved = valueAt(document, from());
      return add(removeAt(document, from()), path, moved);
    }
    case "copy":
      return add(document, path, valueAt(document, from()));
    case "test":
      if (!equalValues(valueAt(document, path), value())) throw new PatchMismatch("values differ");
      return document;
    default:
      throw fault("json.patch", `unrecognized op ${formatRego(name ?? null)}`);
  }
}

/**
 * A document with RFC 6902 operations applied in order; undefined if one does not fit, so that nothing is applied.
 *
 * @throws BuiltinFault if an operation is malformed.
 */
export function patchDocument(document: Value, operations: readonly Value[]): Value | undefined {
  try {
    return operations.reduce(
      (result, operation) => applyOperation(result, objectOf("json.patch", operation)),
      document,
    );
  } catch (error) {
    if (error instanceof PatchMismatch) return undefined;
    throw error;
  }
}

function isValid(text: Value | undefined): boolean {
  if (typeof text !== "string") return false;
  try {
    parseJson(text);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "invalid-json") return false;
    throw error;
  }
}

export const JSON_DOCUMENTS = [
  builtin("json.marshal", "*", ([value]) => marshal(formatJson(value as Value))),
  builtin("json.marshal_with_options", "*,o", ([value, options]) => {
    const settings = objectOf("json.marshal_with_options", options);
    const text = (key: string, fallback: string) => {
      const found = settings.get(key);
      if (found === undefined) return fallback;
      if (typeof found !== "string") throw fault("json.marshal_with_options", `${key} must be a string`);
      return found;
    };
    for (const key of settings.keys()) {
      if (key !== "pretty" && key !== "indent" && key !== "prefix") {
        throw fault("json.marshal_with_options", `object contained unknown key ${formatRego(key)}`);
      }
    }
    const [prefix, indent] = [text("prefix", ""), text("indent", "\t")];
    const pretty = settings.get("pretty");
    if (pretty !== undefined && typeof pretty !== "boolean")
      throw fault("json.marshal_with_options", "pretty must be a boolean");
    const isPretty = pretty ?? (settings.has("indent") || settings.has("prefix"));
    if (isPretty !== true) return marshal(formatJson(value as Value));
    // Only values are escaped: the prefix stands as it is given.
    const lines = formatPrettyJson(value as Value, indent).split("\n");
    return lines.map((line) => prefix + marshal(line)).join("\n");
  }),
  builtin("json.unmarshal", "s", ([text]) => parseJson(typeof text === "string" ? text : "")),
  builtin("json.is_valid", "*", ([text]) => isValid(text)),
  builtin("json.filter", "o,aS", ([document, paths]) => {
    const tree = pathTree("json.filter", paths);
    return tree.size === 0 ? new RegoObject() : filter(document as Value, tree);
  }),
  builtin("json.remove", "o,aS", ([document, paths]) =>
    remove(document as Value, pathTree("json.remove", paths)),
  ),
  builtin("json.patch", "*,a", ([document, operations]) =>
    patchDocument(document as Value, membersOf("json.patch", 1, operations)),
  ),
];
