/** All scenarios. */
import { containerScenarios } from "./container-scenarios.ts";
import { requestScenarios } from "./request-scenarios.ts";
import type { Scenario } from "./rule-scenarios.ts";

export async function allScenarios(): Promise<Scenario[]> {
  return [...(await containerScenarios()), ...(await requestScenarios())];
}
