/** A nested structure as TOML in the shape of upstream's: values of a table first, then its tables, indented by their depth. */

export type TomlValue = string | number | boolean | readonly string[];

/** Deepest nesting; the structures here have four levels. */
const MAX_DEPTH = 16;

/** An empty list of the structure is left out, unless its name is among `kept`. */
export function toTomlDocument(structure: object, kept: readonly string[] = []): string {
  return tables(structure, [], kept).join("\n");
}

function tables(table: object, path: readonly string[], kept: readonly string[]): string[] {
  if (path.length > MAX_DEPTH) throw new RangeError(`deeper than ${MAX_DEPTH} tables`);
  const indent = "  ".repeat(Math.max(0, path.length - 1));
  const inner: string[] = [];
  let own = path.length === 0 ? "" : `${indent}[${path.join(".")}]\n`;
  for (const [name, value] of Object.entries(table)) {
    if (isTable(value)) inner.push(...tables(value, [...path, name], kept));
    else if (!Array.isArray(value) || value.length > 0 || kept.includes(name)) {
      own += `${indent}${path.length === 0 ? "" : "  "}${name} = ${scalar(value)}\n`;
    }
  }
  // Tables of the first level are set apart by an empty line; those below follow at once.
  if (path.length === 0) return own === "" ? inner : [own, ...inner];
  return [own + inner.join("")];
}

function isTable(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function scalar(value: TomlValue): string {
  if (Array.isArray(value)) return `[${value.map(scalar).join(", ")}]`;
  // A basic string of TOML takes all escapes that JSON makes.
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
