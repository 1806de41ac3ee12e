/** `kata-runtime check`: what it does. */
import { VERSION } from "../../version.ts";
import { textFlag } from "../flag-values.ts";
import { gatherFacts } from "../host/gather-facts.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK } from "../types.ts";
import { checkListText } from "./check-list.ts";
import { evaluate } from "./evaluate.ts";
import { factLines, reportJson, resultLines, verdictLines } from "./report-text.ts";

/** @returns 0 if containers can be created now, else 1. */
export async function runCheck({ flags, environment, output }: CommandContext): Promise<number> {
  if (flags.has("list")) {
    output.data(checkListText());
    return EXIT_OK;
  }
  if (flags.has("check-version-only") || flags.has("only-list-releases")) {
    output.progress("warning: releases are not looked up: this program asks nothing from the network\n");
    output.data(`${VERSION}\n`);
    return EXIT_OK;
  }
  const option = flags.get("config");
  const facts = await gatherFacts({
    configurationFile: typeof option === "string" ? option : "",
    environment,
    root: textFlag(flags, "root") ?? "",
  });
  const report = evaluate(facts, flags.has("strict"));
  if (flags.has("json")) {
    output.data(reportJson(report));
  } else {
    const shown = report.results.filter(
      ({ name, verdict }) =>
        flags.has("verbose") ||
        verdict !== "ok" ||
        // Where upstream finds KVM missing, it is told what is used instead.
        (name === "accelerator" && report.facts.length > 0),
    );
    output.data(resultLines(shown));
    output.data(factLines(report.facts));
    const { good, bad } = verdictLines(report);
    for (const line of good) output.data(`${line}\n`);
    for (const line of bad) output.progress(`${line}\n`);
  }
  return report.ready ? EXIT_OK : EXIT_FAILED;
}
