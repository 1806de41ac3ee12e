/** `kata-runtime log-parser`: how it is called. */
import type { Command } from "./types.ts";

export const LOG_PARSER_COMMAND: Command = {
  name: "log-parser",
  aliases: [],
  summary: "merge logs in the order of time, and convert them",
  description: `Reads logs of shim, runtime and agent (logfmt, or JSON lines), puts all records in the order of time, and shows how long after the one
before each came. Records of the agent that a runtime's log carries are unpacked. A line that is no record is told on stderr and left out.
A record has time, level, name, pid, source and msg.`,
  flags: [
    { names: ["--output-file", "-o"], value: "FILE", doc: "write to this file" },
    {
      names: ["--output-format"],
      value: "FORMAT",
      doc: "text (the default), csv, json, ron, toml, xml or yaml",
    },
    { names: ["--json"], doc: "as --output-format json" },
    { names: ["--list-output-formats"], doc: "show the formats" },
    { names: ["--check-only", "-c"], doc: "tell only what is wrong with the logs" },
    { names: ["--strict", "-s"], doc: "fail if a line is no record" },
    { names: ["--ignore-missing-fields"], doc: "take records that lack fields" },
    { names: ["--error-if-file-empty"], doc: "fail if a file is empty" },
    { names: ["--error-if-no-records"], doc: "fail if there is no record" },
    { names: ["--no-agent-unpack"], doc: "leave the agent's records inside of those of the runtime" },
    { names: ["--quiet", "-q"], doc: "say nothing of lines that are no records" },
    { names: ["--debug"], doc: "accepted for old scripts; changes nothing" },
  ],
  operands: { shown: "FILE...", min: 0, max: 1000 },
  examples: [
    ["log-parser shim.log agent.log", "both, in the order of time"],
    ["log-parser --output-format json -o all.json *.log", "for a program to read"],
    ["log-parser --check-only --strict shim.log", "whether all of it are records"],
  ],
  run: async (context) => (await import("./log-parser/run-log-parser.ts")).runLogParser(context),
};
