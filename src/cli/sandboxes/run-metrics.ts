/** `metrics`: the figures of a sandbox. */
import { utf8Decode } from "../../sys/utf8.ts";
import { askShim } from "../ask-shim.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import { parseMetrics } from "./parse-metrics.ts";
import { findSandbox } from "./sandbox-directories.ts";

/** @throws KataError `not-found` if no such sandbox runs. */
export async function runMetrics({ operands: [word = ""], flags, output }: CommandContext): Promise<number> {
  const sandboxId = findSandbox(word);
  const text = utf8Decode(await askShim({ sandboxId, method: "GET", target: "/metrics" }));
  output.data(flags.has("json") ? `${JSON.stringify(parseMetrics(text), null, 2)}\n` : text);
  return EXIT_OK;
}
