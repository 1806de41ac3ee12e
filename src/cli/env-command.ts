/** `kata-runtime env`: how it is called. */
import type { Command } from "./types.ts";

export const ENV_COMMAND: Command = {
  name: "env",
  aliases: ["kata-env"],
  summary: "show the settings and the host in a form for programs",
  description: `Shows what containers are run with: guest, hypervisor, runtime, host and agent. The structure is upstream's,
format 1.0.27, as TOML or JSON.`,
  flags: [
    { names: ["--json"], doc: "write JSON instead of TOML" },
    {
      names: ["--root"],
      value: "DIR",
      doc: "look at a snapshot of another host: its /proc, /sys, /dev, /etc and programs",
    },
  ],
  examples: [
    ["env", "as TOML"],
    ["env --json", "as JSON"],
    ["--config FILE env", "with another configuration"],
    ["env --root /srv/snapshot", "of another host"],
  ],
  // Loaded when needed: `version` and the help need none of it.
  run: async (context) => (await import("./env/run-env.ts")).runEnv(context),
};
