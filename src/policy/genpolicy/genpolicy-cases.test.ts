/** The public cases in ../shared/genpolicy-cases, all of which must be decided as they say. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { AgentPolicy } from "../agent-policy/agent-policy.ts";
import { parseCases, runCase } from "./check-command.ts";
import { CASE_IMAGES } from "./testing/image-layout.ts";
import { policyFor } from "./testing/policy-maker.ts";

const CASES = resolve(import.meta.dirname, "../../../../shared/genpolicy-cases");

const folders = existsSync(CASES)
  ? readdirSync(CASES, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith("testcases.json"))
      .map((path) => dirname(join(CASES, path)))
      .sort()
  : [];

describe("policies decide the public cases", () => {
  if (folders.length === 0) test.skip(`skipped: no ${CASES}`, () => undefined);
  test.each(folders.map((folder) => [relative(CASES, folder), folder]))("%s", async (_name, folder) => {
    const policy = AgentPolicy.load(
      await policyFor(readFileSync(join(folder, "pod.yaml"), "utf8"), { images: CASE_IMAGES }),
    );
    const cases = parseCases(folder, readFileSync(join(folder, "testcases.json"), "utf8"));
    const results = cases.map((requestCase) => ({ ...requestCase, ...runCase(policy, requestCase) }));
    const unexpected = results.filter(({ isExpected }) => !isExpected);
    expect(unexpected.map(({ description, reason }) => ({ description, reason }))).toEqual([]);
    expect(cases.length).toBeGreaterThan(0);
    // A denial always says why.
    expect(results.filter(({ allowed, reason }) => !allowed && !/ breaks /.test(reason))).toEqual([]);
  });
});
