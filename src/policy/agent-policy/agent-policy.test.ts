/** The agent's use of a policy: results, memory, limits. */
import { describe, expect, test } from "vitest";
import { formatJson, fromJson } from "../rego/json.ts";
import { AgentPolicy, MAX_LINE_BYTES, MAX_POLICY_LINES } from "./agent-policy.ts";

const policy = (rules: string) => AgentPolicy.load(`package agent_policy\n${rules}`);
const ask = (loaded: AgentPolicy, kind: string, request: unknown = {}) =>
  loaded.decide(kind, fromJson(request));

describe("a policy's rule", () => {
  test.each<[string, string, unknown]>([
    ["true", "R := true", { allowed: true }],
    ["an object that allows", 'R := {"allowed": true}', { allowed: true }],
    ["false", "R := false", { allowed: false, reason: "R is blocked by policy: " }],
    [
      "false after prints",
      'default R := false\nR { print("why", input.x); false }',
      { allowed: false, reason: "R is blocked by policy: why 1" },
    ],
    [
      "an object that does not allow",
      'R := {"allowed": false, "ops": []}',
      { allowed: false, reason: "R is blocked by policy: " },
    ],
    [
      "undefined",
      "R { false }",
      { allowed: false, reason: "R is blocked by policy: the policy has no rule R" },
    ],
    [
      "not there",
      "S := true",
      { allowed: false, reason: "R is blocked by policy: the policy has no rule R" },
    ],
    [
      "a builtin's error",
      "default R := false\nR { to_number(input.x) }\nR { print(1/0); true }",
      { allowed: true },
    ],
  ])("that is %s decides", (_what, rules, expected) => {
    expect(ask(policy(rules), "R", { x: 1 })).toEqual(expected);
  });

  test.each([
    ["a number", "R := 1"],
    ["an object without a decision", 'R := {"ops": []}'],
    ["operations that do not fit", 'R := {"allowed": true, "ops": [{"op": "remove", "path": "/pstate/x"}]}'],
    ["operations that are no list", 'R := {"allowed": true, "ops": 1}'],
  ])("that gives %s is an error of the policy", (_what, rules) => {
    expect(() => ask(policy(rules), "R")).toThrow(expect.objectContaining({ code: "policy-evaluation" }));
  });

  test("of Rego v1 without an import is read as well", () => {
    expect(ask(policy("R if input.x == 1"), "R", { x: 1 })).toEqual({ allowed: true });
  });

  test("that goes on without end comes to a limit", () => {
    const rules = "R { xs := numbers.range(1, 3000); count([1 | xs[_] < xs[_]]) > 1 }";
    expect(() => ask(policy(rules), "R")).toThrow(expect.objectContaining({ code: "policy-limit" }));
  });
});

describe("a policy's memory", () => {
  const rules = `
R := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/name", "value": input.name}]} { not data.pstate.name }
R := true { data.pstate.name == input.name }
default R := false`;

  test("holds what was allowed, and forgets nothing that was refused", () => {
    const loaded = policy(rules);
    expect(ask(loaded, "R", { name: "a" })).toEqual({ allowed: true });
    expect(ask(loaded, "R", { name: "b" })).toEqual({ allowed: false, reason: "R is blocked by policy: " });
    expect(ask(loaded, "R", { name: "a" })).toEqual({ allowed: true });
    expect(formatJson(loaded.memory)).toBe('{"pstate":{"name":"a"}}');
    expect(ask(loaded.restarted(), "R", { name: "b" })).toEqual({ allowed: true });
  });
});

test("AllowRequestsFailingPolicy turns refusals into consent with the reason", () => {
  const loaded = policy("AllowRequestsFailingPolicy := true\nR := false");
  expect(ask(loaded, "R")).toEqual({ allowed: true, overruled: "R is blocked by policy: " });
  expect(ask(loaded, "S")).toEqual({
    allowed: true,
    overruled: "S is blocked by policy: the policy has no rule S",
  });
});

test("a policy's data can be exchanged if it is JSON at its end", () => {
  const loaded = policy('R { policy_data.x == input.x }\npolicy_data := {"x": 1}');
  expect(ask(loaded.withData(fromJson({ x: 2 })), "R", { x: 2 })).toEqual({ allowed: true });
  expect(() => policy("R := true").withData(fromJson({}))).toThrow(
    expect.objectContaining({ code: "invalid-argument" }),
  );
});

test("JSON data at a policy's end is the same as Rego", () => {
  const rules = 'R { policy_data.list[_] == input.x }\npolicy_data := {"list": [1, 2]}';
  expect(ask(policy(rules), "R", { x: 2 })).toEqual({ allowed: true });
  expect(ask(policy(`${rules} # not JSON`), "R", { x: 2 })).toEqual({ allowed: true });
});

test.each<[string, string, string]>([
  ["syntax", "R := ", "policy-syntax"],
  ["an unknown name", "R { nothing(1) }", "policy-compile"],
  ["a line that is too long", `# ${"x".repeat(MAX_LINE_BYTES)}`, "policy-limit"],
  ["too many lines", "\n".repeat(MAX_POLICY_LINES), "policy-limit"],
])("a policy with %s is not loaded", (_what, rules, code) => {
  expect(() => policy(rules)).toThrow(expect.objectContaining({ code }));
});
