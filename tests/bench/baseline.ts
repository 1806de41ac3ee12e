/**
 * The gate: how many times runc's figure each subject's is, in the same run, beside what it was when the baseline was written. Times of
 * two machines do not compare; their ratios to the same reference do, roughly.
 */
import type { Figure } from "./figure.ts";

/** What `bench/baseline.json` holds: ratios to runc by `NAME SUBJECT`. */
export type Baseline = Readonly<Record<string, number>>;

/** A ratio this many times the baseline's is a failure. */
export const TOLERANCE = 1.25;

/** Names of figures that are times and have a reference. */
const REFERENCE = "runc";

/** Ratios of medians of times; of what has no reference in `figures` there is none. */
export function ratiosOf(figures: readonly Figure[]): Baseline {
  const ratios: Record<string, number> = {};
  for (const { name, subject, unit, median } of figures) {
    if (subject === REFERENCE || (unit !== "ms" && unit !== "us")) continue;
    const reference = figures.find((other) => other.name === name && other.subject === REFERENCE);
    if (reference === undefined || reference.median <= 0) continue;
    ratios[`${name} ${subject}`] = Math.round((median / reference.median) * 100) / 100;
  }
  return ratios;
}

/** @returns a sentence for each ratio that is too far above the baseline's. What only one of the two has is not compared. */
export function regressions(baseline: Baseline, ratios: Baseline): string[] {
  return Object.entries(ratios).flatMap(([what, ratio]) => {
    const before = baseline[what];
    if (before === undefined || ratio <= before * TOLERANCE) return [];
    const percent = Math.round((ratio / before - 1) * 100);
    return [`${what}: ${ratio} times runc, ${percent} % more than the baseline's ${before}`];
  });
}

/** @throws Error unless `text` is what `--write-baseline` writes. */
export function parseBaseline(text: string): Baseline {
  const value: unknown = JSON.parse(text);
  const isBaseline =
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((ratio) => typeof ratio === "number" && Number.isFinite(ratio) && ratio > 0);
  if (!isBaseline) throw new Error("the baseline is no object of ratios");
  return value as Baseline;
}
