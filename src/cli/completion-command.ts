/** `kata-runtime completion`: how it is called. */
import type { Command } from "./types.ts";

export const COMPLETION_COMMAND: Command = {
  name: "completion",
  aliases: [],
  summary: "print a script that completes commands and flags in a shell",
  description: "Prints a script for bash, zsh or fish, made from the commands that this program has.",
  flags: [],
  operands: { shown: "bash|zsh|fish", min: 1, max: 1 },
  examples: [
    ["completion bash", "source <(kata-runtime completion bash)"],
    ["completion fish", "kata-runtime completion fish | source"],
  ],
  run: async (context) => (await import("./completion/run-completion.ts")).runCompletion(context),
};
