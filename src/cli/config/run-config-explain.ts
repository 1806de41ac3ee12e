/** `kata-runtime config explain`: what it does. */
import { annotationNames } from "../../config/annotations.ts";
import { EFFECTIVE_KEYS } from "../../config/effective-keys.ts";
import { DRIVERS, isUsedBy, type Key } from "../../config/key.ts";
import { suggestion } from "../../config/nearest-name.ts";
import { sectionHeader, toToml } from "../../config/sample.ts";
import { KataError } from "../../kata-error.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import { sections } from "./read-settings.ts";

interface Explanation {
  readonly key: string;
  /** Header of its table, `NAME` for the monitor's. */
  readonly table: string;
  readonly meaning: string;
  readonly type: string;
  readonly default: unknown;
  /** Defaults of monitors that have another. */
  readonly driverDefaults: Readonly<Record<string, unknown>>;
  readonly oneOf?: readonly string[];
  readonly min?: number;
  readonly max?: number;
  readonly drivers: readonly string[];
  readonly annotations: readonly string[];
  readonly aliases: readonly string[];
  /** Something in this version reads it. */
  readonly hasEffect: boolean;
  /** Why nothing does. */
  readonly withoutEffect?: string;
}

/** @throws KataError `not-found` for a name that no key and no annotation has, with the nearest one. */
export async function runConfigExplain({ flags, operands, output }: CommandContext): Promise<number> {
  const [wanted = ""] = operands;
  const all = sections().flatMap(([section, keys]) =>
    Object.entries(keys).map(([name, key]) => explain(section, name, key)),
  );
  const found = all.filter(({ key, aliases, annotations }) =>
    [key, ...aliases, ...annotations].includes(wanted),
  );
  if (found.length === 0) {
    const names = all.flatMap(({ key, aliases, annotations }) => [key, ...aliases, ...annotations]);
    throw new KataError("not-found", {
      operation: "explain key",
      object: JSON.stringify(wanted.slice(0, 200)),
      hint: `no key or annotation has this name${suggestion(wanted, names)}`,
    });
  }
  output.data(
    flags.has("json") ? `${JSON.stringify(found, null, 2)}\n` : found.map(explanationLines).join("\n"),
  );
  return EXIT_OK;
}

function explain(section: Parameters<typeof annotationNames>[0], name: string, key: Key): Explanation {
  const { oneOf, min, max, withoutEffect } = key;
  return {
    key: name,
    table: key.annotationOnly === true ? "" : sectionHeader(section, "NAME"),
    meaning: key.doc,
    type: key.kind,
    default: key.default,
    driverDefaults: key.driverDefaults ?? {},
    ...(oneOf === undefined ? {} : { oneOf }),
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    drivers: Object.values(DRIVERS).filter((driver) => isUsedBy(key, driver)),
    annotations: annotationNames(section, name, key),
    aliases: key.aliases ?? [],
    hasEffect: EFFECTIVE_KEYS[section].has(name),
    ...(withoutEffect === undefined ? {} : { withoutEffect }),
  };
}

function explanationLines(each: Explanation): string {
  const bounds =
    each.min === undefined && each.max === undefined ? "" : `, ${each.min ?? ""} to ${each.max ?? ""}`;
  const oneOf = each.oneOf === undefined ? "" : `, one of ${each.oneOf.map(toToml).join(", ")}`;
  const own = Object.entries(each.driverDefaults).map(([driver, value]) => `; ${driver}: ${toToml(value)}`);
  const rows: [string, string][] = [
    ["Meaning", each.meaning],
    ["Type", `${each.type}${oneOf || bounds}`],
    ["Default", `${toToml(each.default)}${own.join("")}`],
    ["Monitors", each.drivers.join(", ")],
    ["Annotation", each.annotations.join(", ") || "none"],
    ["Effect", each.hasEffect ? "yes" : `none: ${each.withoutEffect}`],
  ];
  if (each.aliases.length > 0) rows.push(["Also called", each.aliases.join(", ")]);
  const head = each.table === "" ? `${each.key} (annotations only)` : `${each.key} in ${each.table}`;
  return `${head}\n${rows.map(([name, text]) => `  ${`${name}:`.padEnd(13)}${text}\n`).join("")}`;
}
