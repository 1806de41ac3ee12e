/** `kata-runtime check`: how it is called. */
import type { Command } from "./types.ts";

export const CHECK_COMMAND: Command = {
  name: "check",
  aliases: ["kata-check"],
  summary: "tell whether this host can run containers in virtual machines, and what is missing",
  description: `Looks at processor, virtualization (by running a virtual CPU), devices, cgroups, programs, guest and configuration.
What is not as it should be comes with the command that helps. Nothing is changed, and nothing is asked from the network.
Of a snapshot nothing is executed or opened as a device: what its files promise is taken for true.`,
  flags: [
    { names: ["--verbose", "-v"], doc: "show also what is in order" },
    { names: ["--strict", "-s"], doc: "count warnings as failures" },
    { names: ["--json"], doc: "write all results as JSON" },
    {
      names: ["--root"],
      value: "DIR",
      doc: "look at a snapshot of another host: its /proc, /sys, /dev, /etc and programs",
    },
    { names: ["--list"], doc: "show what is looked at, without looking" },
    { names: ["--no-network-checks", "-n"], doc: "accepted, as there are none" },
    {
      names: ["--check-version-only"],
      doc: "show this version; it is not compared with releases on the network",
    },
    { names: ["--only-list-releases"], doc: "as --check-version-only" },
    { names: ["--include-all-releases"], doc: "accepted, as no releases are listed" },
  ],
  examples: [
    ["check", "what is missing on this host"],
    ["check --verbose", "and what is there"],
    ["check --json", "for a program to read"],
    ["check --root /srv/snapshot", "whether another host can"],
  ],
  // Loaded when needed: `version` and the help need none of it.
  run: async (context) => (await import("./check/run-check.ts")).runCheck(context),
};
