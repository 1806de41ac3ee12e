/** `kata-runtime check`: how it is called. */
import type { Command } from "./types.ts";

export const CHECK_COMMAND: Command = {
  name: "check",
  aliases: ["kata-check"],
  summary: "tell whether this host can run containers in virtual machines, and what is missing",
  description: `Looks at processor, virtualization (by running a virtual CPU), devices, cgroups, programs, guest and configuration.
What is not as it should be comes with the command that helps. Nothing is changed, and nothing is asked from the network.`,
  flags: [
    { names: ["--verbose", "-v"], doc: "show also what is in order" },
    { names: ["--strict", "-s"], doc: "count warnings as failures" },
    { names: ["--json"], doc: "write all results as JSON" },
    { names: ["--no-network-checks", "-n"], doc: "accepted, as there are none" },
  ],
  examples: [
    ["check", "what is missing on this host"],
    ["check --verbose", "and what is there"],
    ["check --json", "for a program to read"],
  ],
  // Loaded when needed: `version` and the help need none of it.
  run: async (context) => (await import("./check/run-check.ts")).runCheck(context),
};
