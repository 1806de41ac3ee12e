/** `kata-runtime azure preflight`: what it does. */
import { parseCluster } from "../../azure/cluster.ts";
import { parseDocuments } from "../../azure/json-documents.ts";
import { preflight } from "../../azure/preflight/preflight.ts";
import { readInput } from "../input.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK } from "../types.ts";
import { findingLines } from "./finding-text.ts";

/** @returns 0 if nothing is wrong, else 1. */
export async function runPreflight({ flags, operands, output }: CommandContext): Promise<number> {
  const documents = operands.flatMap((file) =>
    parseDocuments(readInput(file), file).map((value) => ({ name: file, value })),
  );
  const report = preflight(parseCluster(documents), flags.has("strict"));
  if (flags.has("json")) {
    output.data(`${JSON.stringify({ passed: report.passed, findings: report.findings }, null, 2)}\n`);
  } else {
    const shown = report.findings.filter(
      ({ verdict }) => flags.has("verbose") || verdict === "failed" || verdict === "warning",
    );
    output.data(findingLines(shown));
    if (report.passed) output.data("The cluster can run containers in virtual machines\n");
    else output.progress("ERROR: The cluster cannot run containers in virtual machines as it is\n");
  }
  return report.passed ? EXIT_OK : EXIT_FAILED;
}
