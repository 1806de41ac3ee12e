/** `kata-runtime log-parser`: what it does. */
import { KataError } from "../../kata-error.ts";
import { writeFile } from "../../sys/files.ts";
import { textFlag, wordFlag } from "../flag-values.ts";
import { readInput } from "../input.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK } from "../types.ts";
import { formatLog, LOG_FORMATS, mergeRecords } from "./format-log.ts";
import { readLog } from "./read-log.ts";

/** Lines that are told one by one; of more, only how many. */
const MAX_TOLD = 20;

/** @returns 0; with `--strict` 1 if a line is no record. */
export async function runLogParser({ flags, operands, output }: CommandContext): Promise<number> {
  if (flags.has("list-output-formats")) {
    output.data(`${LOG_FORMATS.join("\n")}\n`);
    return EXIT_OK;
  }
  if (operands.length === 0) {
    throw new KataError("invalid-argument", {
      operation: "read command line",
      object: "log-parser",
      hint: "it needs FILE..., or - for stdin",
    });
  }
  const format = wordFlag(flags, "output-format", LOG_FORMATS) ?? (flags.has("json") ? "json" : "text");
  const logs = operands.map((file) => {
    const text = readInput(file);
    if (text.trim() === "" && flags.has("error-if-file-empty")) throw noRecords(file, "the file is empty");
    return readLog(file, text, {
      ignoreMissingFields: flags.has("ignore-missing-fields"),
      keepAgentPacked: flags.has("no-agent-unpack"),
    });
  });
  const rejected = logs.flatMap((log) => log.rejected);
  if (!flags.has("quiet") || flags.has("strict")) {
    for (const { file, line, why } of rejected.slice(0, MAX_TOLD))
      output.progress(`${file}:${line}: ${why}\n`);
    const more = rejected.length - MAX_TOLD;
    if (more > 0) output.progress(`and ${more} more lines that are no records\n`);
  }
  if (flags.has("strict") && rejected.length > 0) return EXIT_FAILED;
  const records = mergeRecords(logs.map((log) => log.records));
  if (records.length === 0 && flags.has("error-if-no-records")) {
    throw noRecords(operands.join(", "), "no line is a record");
  }
  if (flags.has("check-only")) return EXIT_OK;
  const text = formatLog(records, format);
  const file = textFlag(flags, "output-file");
  if (file === undefined) output.data(text);
  else writeFile(file, text);
  return EXIT_OK;
}

function noRecords(object: string, hint: string): KataError {
  return new KataError("not-found", { operation: "read log", object, hint });
}
