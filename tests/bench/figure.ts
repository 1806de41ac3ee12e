/** What a measurement is reported as. Runs in Node and in the engine host. */

export interface Figure {
  /** What was measured, such as `ctr-run`. */
  readonly name: string;
  /** Whose it is, such as `kata-cold` or `runc`. */
  readonly subject: string;
  readonly unit: "ms" | "us" | "bytes" | "bytes/s" | "pods/s" | "pods" | "cores" | "times";
  readonly median: number;
  readonly p99: number;
  /** Number of measurements. */
  readonly n: number;
}

/** Name of the figures of a start's phases; their subjects are `WAY: ROW: PHASE`. */
export const PHASE = "start-phase";

/** @throws RangeError if there is no sample: a figure of nothing would be taken for a good one. */
export function figure(
  name: string,
  subject: string,
  unit: Figure["unit"],
  samples: readonly number[],
): Figure {
  if (samples.length === 0) throw new RangeError(`${name} of ${subject}: no sample`);
  const sorted = [...samples].sort((a, b) => a - b);
  return {
    name,
    subject,
    unit,
    median: rounded(quantile(sorted, 0.5)),
    p99: rounded(quantile(sorted, 0.99)),
    n: samples.length,
  };
}

/** The smallest sample that at least a share of `q` do not exceed. */
function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
