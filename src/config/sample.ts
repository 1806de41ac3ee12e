/** A configuration file to begin with: every key with its meaning, the defaults commented out. */
import { SECTIONS, type SectionName } from "./configuration.ts";
import { type DriverName, defaultFor, isUsedBy, type Key } from "./key.ts";

/** `value` in TOML. */
export function toToml(value: unknown): string {
  // A basic string of TOML takes all escapes that JSON makes.
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(toToml).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).map(([name, field]) => `${name} = ${toToml(field)}`);
    return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`;
  }
  return String(value);
}

/** Header of a section in the file. */
export function sectionHeader(section: SectionName, driver: string): string {
  const headers = {
    hypervisor: `hypervisor.${driver}`,
    factory: "factory",
    agent: "agent.kata",
    memAgent: "agent.kata.mem_agent",
    runtime: "runtime",
  };
  return `[${headers[section]}]`;
}

/** The text of a file for `driver`; read back, it is the defaults. */
export function renderSample(driver: DriverName): string {
  const lines = [
    `# Configuration of Kata Containers for ${driver}.`,
    "# A line with # in front shows the default. Changes are better put in a file config.d/*.toml beside this one.",
  ];
  for (const [section, keys] of Object.entries(SECTIONS) as [SectionName, Readonly<Record<string, Key>>][]) {
    lines.push("", sectionHeader(section, driver));
    for (const [name, key] of Object.entries(keys)) {
      if (key.annotationOnly === true || !isUsedBy(key, driver)) continue;
      const shown = key.shown === true ? "" : "#";
      lines.push(
        "",
        `# ${key.doc}`,
        ...boundLines(key),
        ...(key.withoutEffect === undefined ? [] : [`# Without effect: ${key.withoutEffect}.`]),
        `${shown}${name} = ${toToml(defaultFor(key, driver))}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

function boundLines({ oneOf }: Key): string[] {
  return oneOf === undefined ? [] : [`# One of: ${oneOf.map(toToml).join(", ")}.`];
}
