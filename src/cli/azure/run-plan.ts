/** `kata-runtime azure plan`: what it does. */
import { aksRuntime, KATA_VM_ISOLATION } from "../../azure/names.ts";
import { type PlanRequest, plan } from "../../azure/plan.ts";
import { numberFlag, textFlag } from "../flag-values.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK, EXIT_UNKNOWN, type FlagValues } from "../types.ts";
import { answerSize, type SizeAnswer, sizeLines } from "./size-text.ts";

/** @returns 0 with a plan; 1 for a size that does not work, 3 for one that is unknown. */
export async function runPlan({ flags, output }: CommandContext): Promise<number> {
  const request = readRequest(flags);
  const steps = plan(request);
  const size = answerSize(request.size, request.workloadRuntime, false);
  const refused = size.verdict === "no" || (size.verdict === "unknown" && !flags.has("force"));
  if (refused) {
    output.progress(sizeLines(size));
    return size.verdict === "no" ? EXIT_FAILED : EXIT_UNKNOWN;
  }
  if (flags.has("json")) {
    output.data(`${JSON.stringify({ size: summary(size), steps }, null, 2)}\n`);
  } else {
    output.data(`# ${size.size}: ${size.because}\n`);
    output.data(steps.map(({ why, command }) => `\n# ${why}\n${command}\n`).join(""));
  }
  return EXIT_OK;
}

function readRequest(flags: FlagValues): PlanRequest {
  const workloadRuntime = textFlag(flags, "workload-runtime") ?? KATA_VM_ISOLATION.workloadRuntime;
  const usual =
    aksRuntime(workloadRuntime)?.kind === "confidential" ? "Standard_DC8as_cc_v5" : "Standard_D4s_v3";
  return {
    resourceGroup: textFlag(flags, "resource-group") ?? "rg-kata",
    cluster: textFlag(flags, "name") ?? "aks-kata",
    location: textFlag(flags, "location") ?? "westeurope",
    size: textFlag(flags, "node-vm-size") ?? usual,
    nodes: numberFlag(flags, "node-count") ?? 1,
    workloadRuntime,
    addPool: textFlag(flags, "add-pool"),
  };
}

function summary({ size, verdict, because }: SizeAnswer) {
  return { size, verdict, because };
}
