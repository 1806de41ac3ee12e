/** The table of keys as a page for people: `docs/configuration.md`. */
import { annotationNames } from "./annotations.ts";
import { SECTIONS, type SectionName } from "./configuration.ts";
import { DRIVERS, type DriverLetter, type Key } from "./key.ts";
import { sectionHeader, toToml } from "./sample.ts";

const TYPE_NAMES: Readonly<Record<Key["kind"], string>> = {
  text: "text",
  flag: "true/false",
  integer: "integer",
  number: "number",
  texts: "list of texts",
  tables: "list of tables",
  table: "table",
};

/** Markdown: a table for each section. */
export function renderDocumentation(): string {
  const lines = [
    "# Configuration keys",
    "",
    "What `configuration.toml` and pod annotations can say. This page is written from the table that the programs read it by.",
    "",
    "An annotation about the hypervisor counts only if its name is in `enable_annotations`; so does one that is marked with *.",
  ];
  for (const [section, keys] of Object.entries(SECTIONS) as [SectionName, Readonly<Record<string, Key>>][]) {
    lines.push(
      "",
      `## \`${sectionHeader(section, "NAME")}\``,
      "",
      "| Key | Type | Default | Drivers | Annotation | Meaning |",
    );
    lines.push("|---|---|---|---|---|---|");
    for (const [name, key] of Object.entries(keys)) lines.push(row(section, name, key));
  }
  return `${lines.join("\n")}\n`;
}

function row(section: SectionName, name: string, key: Key): string {
  const drivers =
    key.drivers === undefined
      ? "all"
      : [...key.drivers].map((letter) => DRIVERS[letter as DriverLetter]).join(", ");
  const annotations = annotationNames(section, name, key)
    .map((annotation) => code(annotation) + (key.guarded === true ? "\\*" : ""))
    .join(" ");
  const own = Object.entries(key.driverDefaults ?? {}).map(
    ([driver, value]) => `${driver}: ${code(toToml(value))}`,
  );
  const defaults = key.annotationOnly === true ? "" : [code(toToml(key.default)), ...own].join("; ");
  const cells = [code(name), typeText(key), defaults, drivers, annotations, key.doc];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function typeText({ kind, oneOf, min, max }: Key): string {
  if (oneOf !== undefined && kind === "text") return oneOf.map((word) => code(toToml(word))).join(", ");
  const bounded = kind === "integer" && max !== undefined && max < 0xffff_ffff;
  return bounded ? `${TYPE_NAMES[kind]} ${min ?? 0} to ${max}` : TYPE_NAMES[kind];
}

function code(text: string): string {
  return text === "" ? "" : `\`${text}\``;
}
