/**
 * What a policy's decision costs, measured in the engine host, where the agent decides. Built and started by run-bench.ts:
 *
 *   policy-bench RULES SUBJECT    prints figures as JSON; RULES is the file of our rules
 */
import { AgentPolicy } from "../../src/policy/agent-policy/agent-policy.ts";
import { examplePolicyData, exampleRequest } from "../../src/policy/agent-policy/testing/example-pod.ts";
import { fromJson } from "../../src/policy/rego/json.ts";
import settings from "../../src/policy/rules/genpolicy-settings.json" with { type: "json" };
import { readTextFile } from "../../src/sys/files.ts";
import { programArguments, runProgram, writeSync } from "../../src/sys/program.ts";
import { CLOCK_MONOTONIC, clockGettime } from "../../src/sys/time.ts";
import { type Figure, figure } from "./figure.ts";

const CONTAINERS = 10;
const DECISIONS = 200;
const LOADS = 5;

const millisecondsSince = (start: bigint) => Number(clockGettime(CLOCK_MONOTONIC) - start) / 1e6;

async function main(): Promise<number> {
  const [rules = "", subject = ""] = programArguments;
  const data = JSON.stringify(examplePolicyData(settings, CONTAINERS));
  const text = `${readTextFile(rules)}\npolicy_data := ${data}`;
  const loads: number[] = [];
  let policy = AgentPolicy.load(text);
  for (let round = 0; round < LOADS; round++) {
    const started = clockGettime(CLOCK_MONOTONIC);
    policy = AgentPolicy.load(text);
    loads.push(millisecondsSince(started));
  }
  const decisions: number[] = [];
  for (let round = 0; round < DECISIONS; round++) {
    const fresh = policy.restarted();
    const request = fromJson(exampleRequest(CONTAINERS - 1));
    const started = clockGettime(CLOCK_MONOTONIC);
    if (!fresh.decide("CreateContainerRequest", request).allowed) throw new Error("the rules refuse the pod");
    decisions.push(millisecondsSince(started));
  }
  const figures: Figure[] = [
    figure("policy-decision", subject, "ms", decisions),
    figure("policy-load", subject, "ms", loads),
  ];
  writeSync(1, `${JSON.stringify(figures)}\n`);
  return 0;
}

runProgram(main);
