/** A key of the configuration file: one row of the table that parser, annotations, samples and documentation come from. */

/** The drivers, by the names of their tables: `[hypervisor.NAME]`. */
export const DRIVERS = {
  Q: "qemu",
  C: "clh",
  F: "firecracker",
  R: "remote",
  S: "stratovirt",
  D: "dragonball",
  O: "openvmm",
} as const;

export type DriverLetter = keyof typeof DRIVERS;
export type DriverName = (typeof DRIVERS)[DriverLetter];

/** Other names of a driver's table that people write. */
export const DRIVER_ALIASES: Readonly<Record<string, DriverName>> = {
  "cloud-hypervisor": "clh",
  fc: "firecracker",
};

/** The driver of the table `[hypervisor.TABLE]`; undefined if there is none of that name. */
export function driverOf(table: string): DriverName | undefined {
  if (Object.hasOwn(DRIVER_ALIASES, table)) return DRIVER_ALIASES[table];
  return Object.values(DRIVERS).find((name) => name === table);
}

/** Which of upstream's two runtimes has the key; its files are read either way. */
export type Dialect = "both" | "go" | "rs" | "ours";

export interface KeyTraits<T> {
  /** Letters of the drivers that use it; all if absent. */
  readonly drivers?: string;
  readonly dialect?: Dialect;
  /** Defaults that differ for a driver. */
  readonly driverDefaults?: Partial<Record<DriverName, T>>;
  /** Name of the annotation behind the section's prefix; `true` for the key's own name. */
  readonly annotation?: string | true;
  /** More annotations for it, behind the prefix, or whole if they start with `io.`. */
  readonly otherAnnotations?: readonly string[];
  /** The annotation's value is put behind the file's, not in its place. */
  readonly appends?: true;
  /** The annotation reaches the host, so that it has to be in `enable_annotations` although it is not about the machine. */
  readonly guarded?: true;
  /** Patterns for the items of the annotation's value (separated by commas in a text): what a pod may add to a command line of the host. */
  readonly podItems?: readonly RegExp[];
  /** What separates the items in the annotation's value; a JSON list if absent. */
  readonly separator?: string;
  /** Key of the list of globs that a path from an annotation has to match. */
  readonly validBy?: string;
  /** Comes from annotations alone. */
  readonly annotationOnly?: true;
  /** Other names of the key in a file. */
  readonly aliases?: readonly string[];
  /** Absolute path or empty. */
  readonly path?: true;
  readonly min?: number;
  readonly max?: number;
  /** All that it can be. */
  readonly oneOf?: readonly string[];
  /** Written in a sample even though it is the default. */
  readonly shown?: true;
  /** Why it is accepted and changes nothing in this version; the end of a sentence, without its full stop. */
  readonly withoutEffect?: string;
}

export interface KeyOf<Kind extends string, T> extends KeyTraits<T> {
  readonly kind: Kind;
  readonly default: T;
  /** One sentence for the person who sets it. */
  readonly doc: string;
}

/** Names to text, for keys that are lists of small tables. */
export type TextTable = Readonly<Record<string, string>>;

export type Key =
  | KeyOf<"text", string>
  | KeyOf<"flag", boolean>
  | KeyOf<"integer", number>
  | KeyOf<"number", number>
  | KeyOf<"texts", readonly string[]>
  | KeyOf<"tables", readonly TextTable[]>
  | KeyOf<"table", Readonly<Record<string, unknown>>>;

/** The keys of a section by their names. */
export type Section = Readonly<Record<string, Key>>;

/** The values of a section. */
export type ValuesOf<S> = {
  readonly [Name in keyof S]: S[Name] extends { readonly kind: "text" }
    ? string
    : S[Name] extends { readonly kind: "flag" }
      ? boolean
      : S[Name] extends { readonly kind: "integer" | "number" }
        ? number
        : S[Name] extends { readonly kind: "texts" }
          ? readonly string[]
          : S[Name] extends { readonly kind: "tables" }
            ? readonly TextTable[]
            : Readonly<Record<string, unknown>>;
};

export const text = (value: string, doc: string, traits: KeyTraits<string> = {}): KeyOf<"text", string> => ({
  kind: "text",
  default: value,
  doc,
  ...traits,
});

export const path = (value: string, doc: string, traits: KeyTraits<string> = {}): KeyOf<"text", string> =>
  text(value, doc, { path: true, ...traits });

/** A word of a few; the first is the default. */
export const choice = (
  words: readonly string[],
  doc: string,
  traits: KeyTraits<string> = {},
): KeyOf<"text", string> => text(words[0] ?? "", doc, { oneOf: words, ...traits });

export const flag = (
  value: boolean,
  doc: string,
  traits: KeyTraits<boolean> = {},
): KeyOf<"flag", boolean> => ({
  kind: "flag",
  default: value,
  doc,
  ...traits,
});

/** An integer, 0 to 2^32 − 1 if nothing else is said. */
export const integer = (
  value: number,
  doc: string,
  traits: KeyTraits<number> = {},
): KeyOf<"integer", number> => ({
  kind: "integer",
  default: value,
  doc,
  min: 0,
  max: 0xffff_ffff,
  ...traits,
});

export const number = (
  value: number,
  doc: string,
  traits: KeyTraits<number> = {},
): KeyOf<"number", number> => ({
  kind: "number",
  default: value,
  doc,
  ...traits,
});

export const texts = (
  value: readonly string[],
  doc: string,
  traits: KeyTraits<readonly string[]> = {},
): KeyOf<"texts", readonly string[]> => ({ kind: "texts", default: value, doc, ...traits });

export const tables = (
  doc: string,
  traits: KeyTraits<readonly TextTable[]> = {},
): KeyOf<"tables", readonly TextTable[]> => ({
  kind: "tables",
  default: [],
  doc,
  ...traits,
});

export const table = (
  doc: string,
  traits: KeyTraits<Readonly<Record<string, unknown>>> = {},
): KeyOf<"table", Readonly<Record<string, unknown>>> => ({ kind: "table", default: {}, doc, ...traits });

/** The default of `key` for a driver. */
export function defaultFor(key: Key, driver: DriverName): Key["default"] {
  return key.driverDefaults?.[driver] ?? key.default;
}

/** Whether `driver` uses `key`. */
export function isUsedBy(key: Key, driver: DriverName): boolean {
  return (
    key.drivers === undefined ||
    Object.entries(DRIVERS).some(([letter, name]) => name === driver && key.drivers?.includes(letter))
  );
}
