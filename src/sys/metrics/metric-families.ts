/**
 * Metrics of many programs as one answer: families are told once, with the samples of all, and each sample says whose it is.
 * Source: Prometheus, text-based exposition format 0.0.4.
 */

interface Family {
  help: string;
  type: string;
  readonly samples: string[];
}

/** What ends the names of samples that belong to a family of another name. */
const PARTS: Readonly<Record<string, RegExp>> = {
  histogram: /_(bucket|sum|count)$/,
  summary: /_(sum|count)$/,
};

/** Name, labels, and value with a time stamp if there is one. */
const SAMPLE =
  /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?[ \t]+([-+]?(?:Inf|NaN|\d[\w.+-]*|\.\d[\w+-]*)(?:[ \t]+-?\d+)?)[ \t]*$/;

/** A shim may not fill the monitor's memory. */
const MAX_FAMILIES = 5000;

export class MetricFamilies {
  readonly #families = new Map<string, Family>();
  readonly #only: ReadonlySet<string> | undefined;

  /** @param only names of the families that are wanted; absent for all. */
  constructor(only?: readonly string[]) {
    this.#only = only === undefined || only.length === 0 ? undefined : new Set(only);
  }

  /** Adds what a program has told. @param labels of all its samples. */
  add(text: string, labels: Readonly<Record<string, string>> = {}): void {
    const added = Object.entries(labels)
      .map(
        ([name, value]) =>
          `${name}="${value.replace(/[\\"\n]/g, (each) => (each === "\n" ? "\\n" : `\\${each}`))}"`,
      )
      .join(",");
    for (const line of text.split("\n")) {
      const [, what, about, rest = ""] = /^# (HELP|TYPE) ([A-Za-z_:][\w:]*) ?(.*)$/.exec(line) ?? [];
      if (about !== undefined) {
        const family = this.#family(about);
        if (what === "HELP") family.help ||= rest;
        else family.type ||= rest;
        continue;
      }
      const [, name, own, value] = SAMPLE.exec(line) ?? [];
      if (name === undefined || value === undefined) continue;
      const both = [own, added].filter((list) => list !== undefined && list !== "").join(",");
      this.#familyOf(name).samples.push(`${name}${both === "" ? "" : `{${both}}`} ${value}`);
    }
  }

  /** All of it, families in the order of their names. */
  get text(): string {
    return [...this.#families]
      .filter(([name, { samples }]) => samples.length > 0 && (this.#only?.has(name) ?? true))
      .sort(([first], [second]) => (first < second ? -1 : 1))
      .map(([name, { help, type, samples }]) => {
        const head = [
          ...(help === "" ? [] : [`# HELP ${name} ${help}`]),
          ...(type === "" ? [] : [`# TYPE ${name} ${type}`]),
        ];
        return `${[...head, ...samples].join("\n")}\n`;
      })
      .join("");
  }

  #family(name: string): Family {
    const known = this.#families.get(name);
    if (known !== undefined) return known;
    const family: Family = { help: "", type: "", samples: [] };
    if (this.#families.size < MAX_FAMILIES) this.#families.set(name, family);
    return family;
  }

  #familyOf(sample: string): Family {
    for (const [type, end] of Object.entries(PARTS)) {
      const base = this.#families.get(sample.replace(end, ""));
      if (end.test(sample) && base?.type === type) return base;
    }
    return this.#family(sample);
  }
}
