/** What a policy with ten containers costs: on the host, and in a container, which is as slow as the guest that it is in. */
import { join } from "node:path";
import type { Engine } from "../../scripts/build/engine.ts";
import { buildProgram } from "../../scripts/build/program.ts";
import { mustRun } from "../harness/command.ts";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import type { Figure } from "./figure.ts";

/** In the engine that the agent has. */
const PROGRAM = {
  entry: "tests/bench/policy-bench.ts",
  engine: "quick",
  output: "build/test/policy-bench",
} as const;
const RULES = "src/policy/rules/rules.rego";
/** An emulated processor takes some thirty times as long as the host's, ms. */
const DEADLINE_MS = 300_000;

/** @param runtime of containers whose processor is to be measured. */
export async function policyFigures(
  root: string,
  engine: Engine,
  containerd: PrivateContainerd,
  image: string,
  runtime: string,
): Promise<Figure[]> {
  await buildProgram(root, engine, PROGRAM);
  const program = join(root, PROGRAM.output);
  const rules = join(root, RULES);
  const native = await mustRun(program, [rules, "on the host"], { deadlineMs: DEADLINE_MS });
  const shown = (source: string, destination: string) => [
    "--mount",
    `type=bind,src=${source},dst=${destination},options=rbind:ro`,
  ];
  const { status, stdout, stderr } = await containerd.ctr.runContainer(
    {
      id: `${containerd.address.tag}-policy`,
      image,
      runtime,
      command: ["/policy-bench", "/rules.rego", "in the guest"],
      flags: [...shown(program, "/policy-bench"), ...shown(rules, "/rules.rego")],
    },
    { deadlineMs: DEADLINE_MS },
  );
  if (status !== 0) throw new Error(`policy-bench: exit status ${status}\n${stderr}\n${containerd.log}`);
  return [...(JSON.parse(native) as Figure[]), ...(JSON.parse(stdout) as Figure[])];
}
