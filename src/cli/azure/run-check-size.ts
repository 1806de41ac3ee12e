/** `kata-runtime azure check-size`: what it does. */
import type { Answer } from "../../azure/types.ts";
import { textFlag } from "../flag-values.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK, EXIT_UNKNOWN } from "../types.ts";
import { answerSize, sizeLines, worst } from "./size-text.ts";

const STATUS: Readonly<Record<Answer, number>> = { yes: EXIT_OK, no: EXIT_FAILED, unknown: EXIT_UNKNOWN };

/** @returns 0 if all sizes can be used, 1 if one cannot, 3 if one is unknown. */
export async function runCheckSize({ flags, operands, output }: CommandContext): Promise<number> {
  const answers = operands.map((name) =>
    answerSize(name, textFlag(flags, "workload-runtime"), flags.has("strict")),
  );
  output.data(
    flags.has("json")
      ? `${JSON.stringify({ sizes: answers }, null, 2)}\n`
      : answers.map(sizeLines).join("\n"),
  );
  return STATUS[worst(answers.map(({ verdict }) => verdict))];
}
