import { describe, expect, test } from "vitest";
import { parseReport } from "./spec-report.ts";

const spec = (text: string, state: string, message?: string, type = "It") => ({
  ContainerHierarchyTexts: ["[k8s.io] Pod", "sysctls"],
  LeafNodeType: type,
  LeafNodeText: text,
  State: state,
  RunTime: 1_500_000_000,
  ...(message === undefined ? {} : { Failure: { Message: message } }),
});

const report = (...specs: object[]) => JSON.stringify([{ SpecReports: specs }, { SpecReports: null }]);

describe("parseReport()", () => {
  test("gives each spec that ran, by its whole name", () => {
    const text = report(
      spec("passes", "passed"),
      spec("fails", "failed", "\n first line\nsecond line"),
      spec("panics", "panicked", "oh"),
      spec("cannot", "skipped", "not supported here"),
    );
    expect([...parseReport(text)]).toEqual([
      ["[k8s.io] Pod sysctls passes", { outcome: "passed", seconds: 1.5, message: "" }],
      ["[k8s.io] Pod sysctls fails", { outcome: "failed", seconds: 1.5, message: "first line" }],
      ["[k8s.io] Pod sysctls panics", { outcome: "failed", seconds: 1.5, message: "oh" }],
      ["[k8s.io] Pod sysctls cannot", { outcome: "skipped", seconds: 1.5, message: "not supported here" }],
    ]);
  });

  test("leaves out specs that were not chosen", () => {
    expect(parseReport(report(spec("other", "skipped"), spec("later", "pending"))).size).toBe(0);
  });

  test("says so when a step before the specs failed, as then none of them says anything", () => {
    const text = report(spec("", "failed", "no connection", "BeforeSuite"), spec("a", "skipped"));
    expect(() => parseReport(text)).toThrow("critest did not get to its specs: BeforeSuite: no connection");
  });

  test("refuses what is no report", () => {
    expect(() => parseReport("{}")).toThrow("expected a list of suites");
  });
});
