/** From the text of `configuration.toml` and its drop-ins to a {@link Configuration}. */
import {
  type Configuration,
  defaultConfiguration,
  SECTIONS,
  type SectionName,
  sectionValues,
  withValues,
} from "./configuration.ts";
import { DRIVER_ALIASES, DRIVERS, type DriverName, driverOf, type Section } from "./key.ts";
import { nearestName } from "./nearest-name.ts";
import { type ConfigurationSource, configurationError, isTree, MergedSources, type Tree } from "./source.ts";
import { findContradictions, findOddities } from "./validate.ts";
import { checkValue } from "./value.ts";
import { withoutEffect } from "./without-effect.ts";

export interface ParseOptions {
  /** Laid over the main text in the order of their names. */
  readonly dropIns?: readonly ConfigurationSource[];
  /** An unknown key is an error; else a warning. */
  readonly strict?: boolean;
}

/**
 * @param name path of the text, for messages.
 * @throws KataError `invalid-configuration` with `FILE:LINE:COLUMN` for text that is no TOML, a value of the wrong type or out of
 * its bounds, and values that contradict each other.
 */
export function parseConfiguration(text: string, name: string, options: ParseOptions = {}): Configuration {
  return new Parser(mergeDropIns({ name, text }, options.dropIns ?? []), options.strict ?? false).parse();
}

/** The main file and what lies in `config.d` beside it. @throws KataError `invalid-configuration` for text that is no TOML. */
export function mergeDropIns(
  main: ConfigurationSource,
  dropIns: readonly ConfigurationSource[],
): MergedSources {
  const ordered = [...dropIns].sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
  return new MergedSources([main, ...ordered]);
}

/** A table of the file, where it stands, and which of its names are tables of their own. */
interface Place {
  readonly path: readonly string[];
  readonly section: SectionName;
  readonly inner?: readonly string[];
}

const WRONG_VALUE = "correct the value; docs/configuration.md says what each key takes";

/** What to do about a name that is not known. */
function hint(name: string, known: Iterable<string>): string {
  const nearest = nearestName(name, known);
  return nearest === undefined ? "docs/configuration.md lists all names" : `did you mean ${nearest}?`;
}

interface ChosenDriver {
  /** As the file writes it. */
  readonly table: string;
  readonly driver: DriverName;
}

class Parser {
  readonly #sources: MergedSources;
  readonly #strict: boolean;
  readonly #warnings: string[] = [];
  /** Where a key of a section was set, for the rules between keys. */
  readonly #paths = new Map<string, readonly string[]>();
  /** The table of a section, if the file has it. */
  readonly #tables = new Map<string, readonly string[]>();

  constructor(sources: MergedSources, strict: boolean) {
    this.#sources = sources;
    this.#strict = strict;
  }

  parse(): Configuration {
    const { tree } = this.#sources;
    this.#checkNames(Object.keys(tree), ["hypervisor", "agent", "runtime", "factory", "image"], []);
    const runtime = this.#table(["runtime"]);
    const { table: driverTable, driver } = this.#chooseDriver(runtime);
    const agentTable = this.#chooseAgent(runtime);
    const values = sectionValues(defaultConfiguration(driver));
    const places: Place[] = [
      { path: ["runtime"], section: "runtime" },
      { path: ["factory"], section: "factory" },
      { path: ["hypervisor", driverTable], section: "hypervisor", inner: ["factory"] },
      { path: ["hypervisor", driverTable, "factory"], section: "factory" },
      { path: ["agent", agentTable], section: "agent", inner: ["mem_agent"] },
      { path: ["agent", agentTable, "mem_agent"], section: "memAgent" },
    ];
    for (const place of places) Object.assign(values[place.section], this.#readSection(place, driver));
    // One root is enough: naming one in the file takes the default of the other away.
    if (values.hypervisor.image !== "" && !this.#paths.has("hypervisor.initrd"))
      values.hypervisor.initrd = "";
    const configuration = withValues(
      { sources: this.#sources.names, driver, warnings: this.#warnings },
      values,
    );
    for (const { section, key, why } of findContradictions(configuration)) {
      throw configurationError(
        this.#placeOf(section, key),
        `${key}: ${why}`,
        "change one of the keys that contradict each other",
      );
    }
    for (const { section, key, why } of findOddities(configuration)) {
      this.#warnings.push(`${this.#placeOf(section, key)}: ${key}: ${why}`);
    }
    return configuration;
  }

  #placeOf(section: string, key: string): string {
    const table = this.#tables.get(section) ?? [section];
    return this.#sources.locate(this.#paths.get(`${section}.${key}`) ?? table);
  }

  /** The table at `path`; an empty one if there is none. */
  #table(path: readonly string[]): Tree {
    let table: Tree = this.#sources.tree;
    for (const [depth, name] of path.entries()) {
      const inner = Object.hasOwn(table, name) ? table[name] : undefined;
      if (inner === undefined) return {};
      if (!isTree(inner)) {
        const at = path.slice(0, depth + 1);
        throw configurationError(
          this.#sources.locate(at),
          `${at.join(".")}: expected a table`,
          `write [${at.join(".")}] and its keys below it`,
        );
      }
      table = inner;
    }
    return table;
  }

  #chooseDriver(runtime: Tree): ChosenDriver {
    const tables = Object.keys(this.#table(["hypervisor"])).map((table) => this.#driverTable(table));
    const wanted = runtime.hypervisor_name;
    if (typeof wanted === "string" && wanted !== "") {
      const chosen =
        tables.find(({ table }) => table === wanted) ??
        tables.find(({ driver }) => driver === driverOf(wanted));
      if (chosen !== undefined) return chosen;
      throw configurationError(
        this.#sources.locate(["runtime", "hypervisor_name"]),
        `hypervisor_name: there is no table [hypervisor.${wanted}]`,
        hint(
          wanted,
          tables.map(({ table }) => table),
        ),
      );
    }
    const first = tables[0];
    if (first === undefined) {
      throw configurationError(
        this.#sources.names[0] ?? "",
        "there is no table [hypervisor.NAME]",
        "add [hypervisor.qemu] and its keys",
      );
    }
    return first;
  }

  #driverTable(table: string): ChosenDriver {
    const driver = driverOf(table);
    if (driver !== undefined) return { table, driver };
    const known = [...Object.values(DRIVERS), ...Object.keys(DRIVER_ALIASES)];
    const where = this.#sources.locate(["hypervisor", table]);
    throw configurationError(where, `there is no driver ${table}`, hint(table, known));
  }

  #chooseAgent(runtime: Tree): string {
    const tables = Object.keys(this.#table(["agent"]));
    const wanted = runtime.agent_name;
    if (typeof wanted === "string" && tables.includes(wanted)) return wanted;
    return tables[0] ?? "kata";
  }

  #readSection({ path, section, inner = [] }: Place, driver: DriverName): Record<string, unknown> {
    const keys: Section = SECTIONS[section];
    const canonical = canonicalNames(keys);
    const table = this.#table(path);
    this.#checkNames(Object.keys(table), [...canonical.keys(), ...inner], path);
    if (Object.keys(table).length > 0) this.#tables.set(section, path);
    const values: Record<string, unknown> = {};
    for (const [written, value] of Object.entries(table)) {
      const name = canonical.get(written);
      const key = name === undefined ? undefined : keys[name];
      if (name === undefined || key === undefined) continue;
      const at = [...path, written];
      const checked = checkValue(key, value);
      if (!checked.ok)
        throw configurationError(this.#sources.locate(at), `${written}: ${checked.why}`, WRONG_VALUE);
      values[name] = checked.value;
      const idle = withoutEffect(name, key, driver, checked.value);
      if (idle !== undefined) this.#warnings.push(`${this.#sources.locate(at)}: ${written}: ${idle}`);
      this.#paths.set(`${section}.${name}`, at);
    }
    return values;
  }

  #checkNames(names: readonly string[], known: readonly string[], path: readonly string[]): void {
    for (const name of names) {
      if (known.includes(name)) continue;
      const where = this.#sources.locate([...path, name]);
      const table = path.length === 0 ? "table" : `key in [${path.join(".")}]`;
      const why = `unknown ${table}: ${name}`;
      const advice = hint(name, known);
      if (this.#strict) throw configurationError(where, why, advice);
      this.#warnings.push(`${where}: ${why}; ${advice}`);
    }
  }
}

/** Each name that a file may use for a key, and the key's own. */
function canonicalNames(keys: Section): Map<string, string> {
  const names = new Map<string, string>();
  for (const [name, key] of Object.entries(keys)) {
    if (key.annotationOnly === true) continue;
    for (const written of [name, ...(key.aliases ?? [])]) names.set(written, name);
  }
  return names;
}
