/** The table of keys as a page for people: `docs/configuration.md`. */
import { annotationNames } from "./annotations.ts";
import { SECTIONS, type SectionName } from "./configuration.ts";
import { DRIVER_WITHOUT_EFFECT } from "./driver-without-effect.ts";
import { EFFECTIVE_KEYS } from "./effective-keys.ts";
import { DRIVERS, type DriverLetter, type Key } from "./key.ts";
import { configurationPaths } from "./paths.ts";
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

/** Markdown: how the configuration is read, and a table for each section. */
export function renderDocumentation(): string {
  const sections = Object.entries(SECTIONS) as [SectionName, Readonly<Record<string, Key>>][];
  return [
    INTRODUCTION,
    ...sections.map(([section, keys]) => renderSection(section, keys)),
    ...Object.entries(DRIVER_WITHOUT_EFFECT).map(([driver, reasons]) => renderExceptions(driver, reasons)),
  ].join("\n");
}

function renderExceptions(driver: string, reasons: Readonly<Record<string, string>>): string {
  return [
    `### Without effect in \`[hypervisor.${driver}]\``,
    "",
    "| Key | Why |",
    "|---|---|",
    ...Object.entries(reasons).map(([name, reason]) => `| ${code(name)} | ${reason} |`),
    "",
  ].join("\n");
}

const INTRODUCTION = `# Configuration

What \`configuration.toml\` and pod annotations can say. This page is written from the table that the programs read them by:
\`npx vitest run src/config --update\` writes it anew.

## A file to begin with

\`\`\`toml
[hypervisor.qemu]
kernel = "/usr/share/kata-containers/vmlinux.container"
initrd = "/usr/share/kata-containers/kata-containers-initrd.img"
default_memory = 512
\`\`\`

Everything else has a default. \`kata-runtime check\` tells whether the file is right and what it names is there.

## Which file is read

1. The one that containerd names for the runtime (\`ConfigPath\` of its options; \`ctr run --runtime-config-path FILE\`).
2. The one in the environment variable \`KATA_CONF_FILE\`. Outside of \`/etc/kata-containers\` and
   \`/usr/share/defaults/kata-containers\` it counts only if nobody but root can change the file and the directories above it.
3. The first that exists of ${configurationPaths({})
  .map((path) => `\`${path}\``)
  .join(", ")}.

Files \`config.d/*.toml\` beside it are laid over it, key by key, in the order of their names.

A value of the wrong type or out of its bounds, and keys that contradict each other, are errors with file, line and column: the
container does not start. An unknown key is a warning in the shim's log, with the nearest name that there is;
\`kata-runtime config check --strict\` takes it for an error.

## Pod annotations

An annotation about the hypervisor counts only if one of the regular expressions in \`enable_annotations\` is about its whole name
behind \`io.katacontainers.config.hypervisor.\`; so does one that is marked with \\*. A path must also match the key's list
\`valid_…\`. Otherwise the pod does not start.

## Keys

Keys that are **bold** change something in this version. The others are read and checked, so that a file made for upstream's
runtime can be used as it is; their rows tell why they have no effect, and so do \`kata-runtime config explain KEY\` and, if one
is set to something else than its default, a warning in the shim's log and of \`kata-runtime config check\`. Drivers other than \`qemu\`, \`clh\`, \`firecracker\` and \`remote\` are refused when a container starts; so are other
values of \`shared_fs\` than \`virtio-fs\` and \`none\`, and of \`internetworking_model\` than \`tcfilter\`, \`macvtap\` and \`none\`. Sizes are in MiB where
nothing else is said.
`;

function renderSection(section: SectionName, keys: Readonly<Record<string, Key>>): string {
  return [
    `### \`${sectionHeader(section, "NAME")}\``,
    "",
    "| Key | Type | Default | Drivers | Annotation | Meaning |",
    "|---|---|---|---|---|---|",
    ...Object.entries(keys).map(([name, key]) => row(section, name, key)),
    "",
  ].join("\n");
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
  const shown = EFFECTIVE_KEYS[section].has(name) ? `**${code(name)}**` : code(name);
  const meaning =
    key.withoutEffect === undefined ? key.doc : `${key.doc} *Without effect: ${key.withoutEffect}.*`;
  const cells = [shown, typeText(key), defaults, drivers, annotations, meaning];
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
