/** Prometheus' text as values, for `metrics --json`. Source: Prometheus, text-based exposition format 0.0.4. */

export interface Metric {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** What JSON has no number for (`+Inf`, `NaN`) is a text. */
  readonly value: number | string;
}

/** The samples of `text`, in its order; what is no sample is passed over. */
export function parseMetrics(text: string): Metric[] {
  return text.split("\n").flatMap((line): Metric[] => {
    const [, name, list, value] =
      /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*$/.exec(line) ?? [];
    if (name === undefined || value === undefined) return [];
    const labels: Record<string, string> = {};
    for (const [, label = "", quoted = ""] of (list ?? "").matchAll(/([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g)) {
      labels[label] = quoted.replace(/\\(.)/g, (_, character: string) =>
        character === "n" ? "\n" : character,
      );
    }
    const number = Number(value);
    return [{ name, labels, value: Number.isFinite(number) ? number : value }];
  });
}
