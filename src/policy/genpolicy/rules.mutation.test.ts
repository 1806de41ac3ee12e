/** Each rule of ours is needed: without it some scenario comes out otherwise. */
import { expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import { allScenarios } from "./testing/all-scenarios.ts";
import { RULES } from "./testing/policy-maker.ts";
import { mutantsOf } from "./testing/rule-mutants.ts";
import { failures } from "./testing/rule-scenarios.ts";

const DEADLINE_MS = 300_000;

/** Rules without which nothing changes, each with its reason. */
const EQUIVALENT: readonly RegExp[] = [
  // Undefined means the same; that the rule is defined has a test of its own.
  /default AllowRequestsFailingPolicy/,
  // A short cut for containers without storages.
  /storages_match\(.*\) if count/,
];

test(
  "a scenario fails when any rule is taken away",
  async () => {
    const scenarios = await allScenarios();
    const mutants = mutantsOf(RULES);
    const survivors = mutants.filter(({ rules }) => {
      try {
        return failures(scenarios, rules, true).length === 0;
      } catch (error) {
        // Rules that use the one taken away do not compile.
        if (error instanceof KataError && error.code === "policy-compile") return false;
        throw error;
      }
    });
    const names = survivors
      .map(({ name }) => name)
      .filter((name) => !EQUIVALENT.some((known) => known.test(name)));
    expect(names).toEqual([]);
    expect(mutants.length).toBeGreaterThan(150);
  },
  DEADLINE_MS,
);
