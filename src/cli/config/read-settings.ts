/** A configuration with the place that each value comes from. */

import { SECTIONS, type SectionName } from "../../config/configuration.ts";
import { type Configuration, type ConfigurationSource, mergeDropIns } from "../../config/index.ts";
import { defaultFor, driverOf, isUsedBy, type Key } from "../../config/key.ts";
import { isTree, type MergedSources, type Tree } from "../../config/source.ts";
import { loadConfiguration } from "../../sandbox/load-configuration.ts";
import { readTextFile } from "../../sys/files.ts";
import { textFlag } from "../flag-values.ts";
import type { CommandContext } from "../types.ts";

export interface Setting {
  readonly section: SectionName;
  readonly key: string;
  readonly value: unknown;
  /** `FILE:LINE:COLUMN`; `default` if no file says it. */
  readonly from: string;
}

/** What stands for a place where no file says anything. */
export const DEFAULT = "default";

/** The configuration of `file`, or the one that counts. @throws KataError `invalid-configuration` */
export function load(
  { flags, environment }: CommandContext,
  file: string | undefined,
  strict = false,
): Configuration {
  return loadConfiguration({
    option: file ?? textFlag(flags, "config") ?? "",
    environment: file === undefined ? (environment.KATA_CONF_FILE ?? "") : "",
    strict,
  });
}

/** Every key that the chosen monitor uses, in the order of the table. */
export function settingsOf(configuration: Configuration): readonly Setting[] {
  const places = new Places(configuration);
  return sections().flatMap(([section, keys]) =>
    Object.entries(keys)
      .filter(([, key]) => key.annotationOnly !== true && isUsedBy(key, configuration.driver))
      .map(([name, key]): Setting => {
        const values: Readonly<Record<string, unknown>> = configuration[section];
        return { section, key: name, value: values[name], from: places.of(section, name, key) };
      }),
  );
}

export function sections(): [SectionName, Readonly<Record<string, Key>>][] {
  return Object.entries(SECTIONS) as [SectionName, Readonly<Record<string, Key>>][];
}

/** Default of a setting for the chosen monitor. */
export function defaultOf({ driver }: Configuration, { section, key }: Setting): unknown {
  const found = SECTIONS[section][key];
  return found === undefined ? undefined : defaultFor(found, driver);
}

class Places {
  readonly #sources: MergedSources;
  readonly #tables: Readonly<Record<SectionName, readonly (readonly string[])[]>>;

  constructor({ sources, driver, runtime }: Configuration) {
    const [main, ...dropIns] = sources.map(
      (name): ConfigurationSource => ({ name, text: readTextFile(name) }),
    );
    this.#sources = mergeDropIns(main ?? { name: "", text: "" }, dropIns);
    const { tree } = this.#sources;
    const drivers = Object.keys(tableAt(tree, ["hypervisor"])).filter((table) => driverOf(table) === driver);
    const named = drivers.find((table) => table === runtime.hypervisor_name) ?? drivers[0] ?? driver;
    const agents = Object.keys(tableAt(tree, ["agent"]));
    const agent = agents.find((table) => table === runtime.agent_name) ?? agents[0] ?? "kata";
    this.#tables = {
      hypervisor: [["hypervisor", named]],
      factory: [["hypervisor", named, "factory"], ["factory"]],
      agent: [["agent", agent]],
      memAgent: [["agent", agent, "mem_agent"]],
      runtime: [["runtime"]],
    };
  }

  of(section: SectionName, name: string, key: Key): string {
    for (const table of this.#tables[section]) {
      const values = tableAt(this.#sources.tree, table);
      const written = [name, ...(key.aliases ?? [])].find((each) => Object.hasOwn(values, each));
      if (written !== undefined) return this.#sources.locate([...table, written]);
    }
    return DEFAULT;
  }
}

function tableAt(tree: Tree, path: readonly string[]): Tree {
  let table = tree;
  for (const name of path) {
    const inner = Object.hasOwn(table, name) ? table[name] : undefined;
    if (!isTree(inner)) return {};
    table = inner;
  }
  return table;
}
