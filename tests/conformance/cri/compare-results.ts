/** Two runs of critest side by side: what the reference passes, the subject has to pass. */
import type { SpecOutcome, SpecResults } from "./spec-report.ts";

export interface Comparison {
  readonly counts: Readonly<Record<"reference" | "subject", Readonly<Record<SpecOutcome, number>>>>;
  /** Specs that the reference passes and the subject does not, although the list does not name them, and why. */
  readonly missing: readonly { readonly name: string; readonly reason: string }[];
  /** Names in the list of specs that the reference does not pass, or that there are not. */
  readonly stale: readonly string[];
  /** Specs that only the subject passes. */
  readonly ahead: readonly string[];
}

/** @param skipped reasons by spec; those specs need not be in the subject's results. */
export function compareResults(
  reference: SpecResults,
  subject: SpecResults,
  skipped: ReadonlyMap<string, string>,
): Comparison {
  const passes = (results: SpecResults, name: string) => results.get(name)?.outcome === "passed";
  const missing = [...reference.keys()]
    .filter((name) => passes(reference, name) && !passes(subject, name) && !skipped.has(name))
    .sort()
    .map((name) => ({ name, reason: reasonOf(subject, name) }));
  return {
    counts: { reference: countOf(reference), subject: countOf(subject) },
    missing,
    stale: [...skipped.keys()].filter((name) => !passes(reference, name)).sort(),
    ahead: [...subject.keys()].filter((name) => passes(subject, name) && !passes(reference, name)).sort(),
  };
}

function reasonOf(results: SpecResults, name: string): string {
  const result = results.get(name);
  if (result === undefined) return "did not run";
  return `${result.outcome}: ${result.message}`;
}

function countOf(results: SpecResults): Record<SpecOutcome, number> {
  const count: Record<SpecOutcome, number> = { passed: 0, failed: 0, skipped: 0 };
  for (const { outcome } of results.values()) count[outcome]++;
  return count;
}
