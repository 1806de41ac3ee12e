import { describe, expect, test } from "vitest";
import { compareResults } from "./compare-results.ts";
import type { SpecOutcome, SpecResults } from "./spec-report.ts";

const results = (outcomes: Readonly<Record<string, SpecOutcome>>): SpecResults =>
  new Map(
    Object.entries(outcomes).map(([name, outcome]) => [
      name,
      { outcome, seconds: 1, message: outcome === "passed" ? "" : `${name} is ${outcome}` },
    ]),
  );

describe("compareResults()", () => {
  test("misses every spec that the reference passes and the subject does not, whatever it does instead", () => {
    const reference = results({ d: "passed", a: "passed", b: "passed", c: "passed", e: "failed" });
    const subject = results({ a: "passed", b: "failed", d: "skipped", e: "failed" });
    expect(compareResults(reference, subject, new Map())).toEqual({
      counts: {
        reference: { passed: 4, failed: 1, skipped: 0 },
        subject: { passed: 1, failed: 2, skipped: 1 },
      },
      missing: [
        { name: "b", reason: "failed: b is failed" },
        { name: "c", reason: "did not run" },
        { name: "d", reason: "skipped: d is skipped" },
      ],
      stale: [],
      ahead: [],
    });
  });

  test("does not miss what the list names, and tells of what the list has to lose", () => {
    const reference = results({ a: "passed", b: "failed", c: "skipped" });
    const subject = results({ b: "passed" });
    const skipped = new Map([
      ["a", "why"],
      ["c", "why"],
      ["gone", "why"],
    ]);
    expect(compareResults(reference, subject, skipped)).toMatchObject({
      missing: [],
      stale: ["c", "gone"],
      ahead: ["b"],
    });
  });
});
