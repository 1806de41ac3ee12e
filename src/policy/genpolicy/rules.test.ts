/** Our rules: what they allow, and which of them refuses what they do not. */
import { expect, test } from "vitest";
import { compileModules } from "../rego/program.ts";
import { RegoObject } from "../rego/values.ts";
import { allScenarios } from "./testing/all-scenarios.ts";
import { RULES } from "./testing/policy-maker.ts";
import { failures } from "./testing/rule-scenarios.ts";

const scenarios = await allScenarios();

test.each(scenarios.map((scenario) => [scenario.name, scenario]))("rules decide %s", (_name, scenario) => {
  expect(failures([scenario])).toEqual([]);
});

test("rules refuse at least 40 tampered requests, each by name", () => {
  const refused = scenarios.flatMap(({ steps }) => steps).filter(({ breaks }) => breaks && breaks.length > 0);
  expect(refused.length).toBeGreaterThanOrEqual(40);
});

test("rules refuse everything, and say so, when the policy has no data", () => {
  const program = compileModules([{ name: "rules.rego", text: `${RULES}\npolicy_data := {}` }], { v0: true });
  const allowed =
    RULES.match(/^default (\w+) := (true|false)$/gm)?.map((line) => line.split(" ")[1] ?? "") ?? [];
  const answers = allowed.map((kind) => [
    kind,
    program.evaluateRule(`data.agent_policy.${kind}`, { input: new RegoObject() }),
  ]);
  expect(answers.filter(([, result]) => typeof result === "object" && !result.defined)).toEqual([]);
  expect(program.evaluateRule("data.agent_policy.AllowRequestsFailingPolicy")).toEqual({
    defined: true,
    value: false,
  });
});
