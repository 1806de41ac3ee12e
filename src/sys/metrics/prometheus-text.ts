/** Figures as Prometheus reads them. Source: Prometheus, text-based exposition format 0.0.4. */

export type Labels = Readonly<Record<string, string>>;

export type Sample = readonly [labels: Labels, value: number];

/** One family as text; nothing if it has no samples. */
export function family(
  name: string,
  help: string,
  samples: readonly Sample[],
  type: "gauge" | "counter" = "gauge",
): string {
  if (samples.length === 0) return "";
  return head(name, help, type) + samples.map(([labels, value]) => line(name, labels, value)).join("");
}

/** How long things took, counted in buckets. */
export class Durations {
  readonly #counts = new Map<string, { readonly buckets: Uint32Array; sum: number }>();

  /** @param milliseconds that `action` took. */
  observe(action: string, milliseconds: number): void {
    let counts = this.#counts.get(action);
    if (counts === undefined) {
      if (this.#counts.size >= MAX_ACTIONS) return;
      counts = { buckets: new Uint32Array(BOUNDS_MS.length + 1), sum: 0 };
      this.#counts.set(action, counts);
    }
    const found = BOUNDS_MS.findIndex((bound) => milliseconds <= bound);
    const at = found < 0 ? BOUNDS_MS.length : found;
    counts.buckets[at] = (counts.buckets[at] ?? 0) + 1;
    counts.sum += milliseconds;
  }

  /** The family as text, with the label `action`. */
  text(name: string, help: string): string {
    if (this.#counts.size === 0) return "";
    const lines = [...this.#counts].map(([action, { buckets, sum }]) => {
      let count = 0;
      const cumulative = [...buckets].map((more, at) => {
        count += more;
        return line(`${name}_bucket`, { action, le: String(BOUNDS_MS[at] ?? "+Inf") }, count);
      });
      return [...cumulative, line(`${name}_sum`, { action }, sum), line(`${name}_count`, { action }, count)];
    });
    return head(name, help, "histogram") + lines.flat().join("");
  }
}

/** Upper ends of the buckets; upstream's: ten, each twice the one before. */
const BOUNDS_MS: readonly number[] = Array.from({ length: 10 }, (_, power) => 2 ** power);
/** A protocol has fewer calls. */
const MAX_ACTIONS = 128;

function head(name: string, help: string, type: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
  return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}\n`;
}

/** As the format wants it, and no other escapes. */
function escaped(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}
