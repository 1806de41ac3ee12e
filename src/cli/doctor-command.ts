/** `kata-runtime doctor`: how it is called. */
import type { Command } from "./types.ts";

export const DOCTOR_COMMAND: Command = {
  name: "doctor",
  aliases: [],
  summary: "tell what is wrong on this host, and the command that helps",
  description: `Makes the checks of \`check\` and looks at containerd besides: whether it runs, which of its runtimes are Kata's, their configuration
files and snapshotters. Shows only what is wrong, the worst first. Nothing is changed.
Exit status: 0 if nothing is wrong, 1 if something is; warnings alone count as nothing.`,
  flags: [
    { names: ["--json"], doc: "write all findings as JSON" },
    { names: ["--verbose", "-v"], doc: "show also what is in order" },
    { names: ["--root"], value: "DIR", doc: "look at a snapshot of another host" },
    {
      names: ["--containerd-config"],
      value: "FILE",
      doc: "containerd's configuration (/etc/containerd/config.toml)",
    },
  ],
  examples: [
    ["doctor", "what is wrong here"],
    ["doctor --root /srv/snapshot", "and on another host"],
  ],
  run: async (context) => (await import("./doctor/run-doctor.ts")).runDoctor(context),
};
