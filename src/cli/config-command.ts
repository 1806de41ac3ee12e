/** `kata-runtime config`: how it is called. */
import { type Command, EXIT_USAGE, type Flag } from "./types.ts";

const WITHIN = "config";
const JSON_FLAG: Flag = { names: ["--json"], doc: "write the answer as JSON" };

const CHECK: Command = {
  name: "check",
  within: WITHIN,
  aliases: [],
  summary: "tell whether a configuration file is right",
  description: `Reads a file, or the one that counts here, with its drop-ins. What is wrong comes with file, line and column. Unknown keys are
warnings, with the nearest known name.`,
  flags: [{ names: ["--strict", "-s"], doc: "count unknown keys as errors" }, JSON_FLAG],
  operands: { shown: "[FILE]", min: 0, max: 1 },
  examples: [
    ["config check", "the file that counts here"],
    ["config check --strict new.toml", "another one, before it is installed"],
  ],
  run: async (context) => (await import("./config/run-config-check.ts")).runConfigCheck(context),
};

const SHOW: Command = {
  name: "show",
  within: WITHIN,
  aliases: [],
  summary: "show all settings, and where each one comes from",
  description: `Shows what a file and its drop-ins amount to, as TOML, with the place that each value comes from.
Keys of other monitors than the chosen one are left out.`,
  flags: [{ names: ["--changed"], doc: "only what is written in a file, without defaults" }, JSON_FLAG],
  operands: { shown: "[FILE]", min: 0, max: 1 },
  examples: [
    ["config show", "everything"],
    ["config show --changed", "what the files say"],
  ],
  run: async (context) => (await import("./config/run-config-show.ts")).runConfigShow(context),
};

const EXPLAIN: Command = {
  name: "explain",
  within: WITHIN,
  aliases: [],
  summary: "tell what a key or an annotation means",
  description:
    "Shows meaning, type, default, bounds and annotation of a key, in each section that has one of that name.",
  flags: [JSON_FLAG],
  operands: { shown: "KEY", min: 1, max: 1 },
  examples: [
    ["config explain default_memory", "a key"],
    ["config explain io.katacontainers.config.hypervisor.kernel_params", "an annotation of a pod"],
  ],
  run: async (context) => (await import("./config/run-config-explain.ts")).runConfigExplain(context),
};

const DIFF: Command = {
  name: "diff",
  within: WITHIN,
  aliases: [],
  summary: "show what a file would change",
  description: `Compares what the configuration that counts here amounts to with what FILE does, or a first FILE with a second: values, not lines.
Exit status: 0 if they are the same, 1 if not.`,
  flags: [JSON_FLAG],
  operands: { shown: "FILE [FILE]", min: 1, max: 2 },
  examples: [
    ["config diff new.toml", "what changes if new.toml is installed"],
    ["config diff old.toml new.toml", "between two files"],
  ],
  run: async (context) => (await import("./config/run-config-diff.ts")).runConfigDiff(context),
};

const COMMANDS: readonly Command[] = [CHECK, SHOW, EXPLAIN, DIFF];

export const CONFIG_COMMAND: Command = {
  name: WITHIN,
  aliases: [],
  summary: "check, show, explain and compare configuration files",
  description: "What configuration.toml says, and what it means. docs/configuration.md lists all keys.",
  flags: [],
  subcommands: COMMANDS,
  examples: COMMANDS.flatMap(({ examples }) => examples.slice(0, 1)),
  // Without the name of one of its commands it is the help.
  run: async () => EXIT_USAGE,
};
