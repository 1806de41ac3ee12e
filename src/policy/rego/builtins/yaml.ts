/** YAML texts. Source: OPA policy reference, "Encoding"; YAML 1.2.2. */
import { builtin, fault } from "../builtin-registry.ts";
import { formatJson, quote } from "../json.ts";
import { isArray, meter, RegoObject, RegoSet, type Value } from "../values.ts";
import { YamlFault } from "./yaml-flow.ts";
import { needsQuotes, parseYaml } from "./yaml-reader.ts";

function formatYaml(value: Value, indent: string): string {
  if (value instanceof RegoSet) return formatYaml(value.values(), indent);
  if (isArray(value)) {
    if (value.length === 0) return `${indent}[]\n`;
    meter.spend(value.length);
    return value
      .map((item) => `${indent}- ${formatYaml(item, `${indent}  `).slice(indent.length + 2)}`)
      .join("");
  }
  if (value instanceof RegoObject) {
    if (value.size === 0) return `${indent}{}\n`;
    meter.spend(value.size);
    let text = "";
    for (const [key, field] of value.entries()) {
      const name = typeof key === "string" ? scalar(key) : formatJson(key);
      const isNested =
        (isArray(field) && field.length > 0) ||
        ((field instanceof RegoObject || field instanceof RegoSet) && field.size > 0);
      // Sequences stand as far left as their key.
      if (isNested)
        text += `${indent}${name}:\n${formatYaml(field, field instanceof RegoObject ? `${indent}  ` : indent)}`;
      else text += `${indent}${name}: ${formatYaml(field, "")}`;
    }
    return text;
  }
  return `${indent}${typeof value === "string" ? scalar(value) : formatJson(value)}\n`;
}

function scalar(text: string): string {
  return needsQuotes(text) ? quote(text) : text;
}

/** @throws BuiltinFault if `text` is no YAML. */
function read(name: string, text: Value | undefined): Value {
  try {
    return parseYaml(typeof text === "string" ? text : "");
  } catch (error) {
    if (error instanceof YamlFault) throw fault(name, error.message);
    throw error;
  }
}

export const YAML = [
  builtin("yaml.marshal", "*", ([value]) => formatYaml(value as Value, "")),
  builtin("yaml.unmarshal", "s", ([text]) => read("yaml.unmarshal", text)),
  builtin("yaml.is_valid", "*", ([text]) => {
    if (typeof text !== "string") return false;
    try {
      parseYaml(text);
      return true;
    } catch (error) {
      if (error instanceof YamlFault) return false;
      throw error;
    }
  }),
];
