/**
 * The command line of `kata-ctl`, the other name of this program: what differs is spelling. Where kata-runtime has flags,
 * kata-ctl has commands below a command, or words.
 */
import { CHECK_COMMAND } from "../check-command.ts";
import { COMMANDS } from "../commands.ts";
import { CONTAINER_COMMANDS } from "../container-commands.ts";
import { ENV_COMMAND } from "../env-command.ts";
import { IPTABLES_COMMAND } from "../iptables-command.ts";
import { COPY_COMMAND, DEBUG_PORT, METRICS_COMMAND, SANDBOX_LIST_FLAGS } from "../sandbox-commands.ts";
import type { Command, Flag, FlagValues } from "../types.ts";

export const KATA_CTL = "kata-ctl";

/** Before the command, besides those of kata-runtime. */
export const KATA_CTL_FLAGS: readonly Flag[] = [
  { names: ["--log-level", "-l"], value: "LEVEL", doc: "accepted; errors are always told" },
  { names: ["--json-logging", "-j"], doc: "accepted; errors are told in plain text" },
];

/** How a check of kata-ctl is called, the flags of kata-runtime that it stands for, and what it does. */
const CHECKS: readonly (readonly [name: string, flags: readonly string[], summary: string])[] = [
  ["all", [], "look at everything"],
  ["no-network-checks", ["no-network-checks"], "as all, as nothing is asked from the network"],
  ["check-version-only", ["check-version-only"], "show this version"],
  ["only-list-releases", ["only-list-releases"], "as check-version-only"],
  ["include-all-releases", ["include-all-releases"], "as all, as no releases are listed"],
  ["list", ["list"], "show what is looked at, without looking"],
];

const SPELLED_AS_COMMANDS = new Set(CHECKS.flatMap(([, flags]) => flags.map((flag) => `--${flag}`)));

const CHECK: Command = {
  ...CHECK_COMMAND,
  aliases: [],
  flags: [],
  subcommands: CHECKS.map(
    ([name, flags, summary]): Command => ({
      ...CHECK_COMMAND,
      name,
      within: "check",
      aliases: [],
      summary,
      flags: CHECK_COMMAND.flags.filter(({ names: [first = ""] }) => !SPELLED_AS_COMMANDS.has(first)),
      examples: [[`check ${name}`, summary]],
      run: (context) => CHECK_COMMAND.run({ ...context, flags: withSwitches(context.flags, flags) }),
    }),
  ),
  examples: [["check all", "what is missing on this host"]],
};

const ENV: Command = {
  ...ENV_COMMAND,
  aliases: [],
  flags: [...ENV_COMMAND.flags, { names: ["--file", "-f"], value: "FILE", doc: "write to this file" }],
};

const PORT: Flag = { ...DEBUG_PORT, names: [...DEBUG_PORT.names, "-p"] };

const EXEC: Command = {
  name: "exec",
  aliases: [],
  summary: "run a shell or a command in a guest",
  description: `Runs a shell, or the command behind "--", in the guest of a sandbox, beside its containers. It has to have a debug console:
debug_console_enabled in the configuration, and an image that was built with --debug-shell. The exit status is the command's; 125, 126 or
127 if it could not be run.`,
  flags: [PORT],
  operands: { shown: "SANDBOX [-- COMMAND...]", min: 1, max: Number.POSITIVE_INFINITY },
  examples: [
    ["exec 3f2a", "a shell"],
    ["exec 3f2a -- dmesg", "a command"],
  ],
  run: async (context) => (await import("../guest/run-guest-exec.ts")).runGuestExec(context),
};

const COPY: Command = {
  ...COPY_COMMAND,
  flags: [{ ...PORT, doc: "accepted: the pod's shim knows the way" }],
};

const PROCESSES: Command = {
  name: "ps",
  aliases: [],
  summary: "show the sandboxes of this host",
  description: "Shows the sandboxes of this host, whoever started them.",
  flags: SANDBOX_LIST_FLAGS,
  examples: [["ps", "all sandboxes"]],
  run: async (context) => (await import("../sandboxes/run-ps.ts")).runPs(context),
};

const MONITOR: Command = {
  name: "monitor",
  aliases: [],
  summary: "serve the figures of all sandboxes over HTTP",
  description: "Starts kata-monitor, which was installed beside this program, at ADDRESS (127.0.0.1:8090).",
  flags: [],
  operands: { shown: "[ADDRESS]", min: 0, max: 1 },
  examples: [["monitor 127.0.0.1:8090", "for Prometheus"]],
  run: async (context) => (await import("./run-monitor.ts")).runMonitor(context),
};

/** The word that upstream's takes in the place of a sandbox. */
const ALL_SANDBOXES = "metrics-args";

const METRICS: Command = {
  ...METRICS_COMMAND,
  summary: "show the figures of sandboxes as Prometheus reads them",
  description: `Shows the figures of the shim, the hypervisor, virtiofsd, the agent and the guest; those of all sandboxes without the name of one.
"${ALL_SANDBOXES}", which upstream's kata-ctl wants there, means all, too.`,
  operands: { shown: "[SANDBOX]", min: 0, max: 1 },
  examples: [...METRICS_COMMAND.examples, ["metrics", "of all"]],
  run: async (context) => {
    const [word = ALL_SANDBOXES] = context.operands;
    if (word !== ALL_SANDBOXES) return METRICS_COMMAND.run(context);
    return (await import("./run-metrics-of-all.ts")).runMetricsOfAll(context);
  },
};

const PACKET_FILTER_METRICS: Command = {
  name: "metrics",
  within: "iptables",
  aliases: [],
  summary: "show what the packet filters of guests have counted",
  description: `Shows packets and bytes that the chains of a guest's packet filter let through or dropped by their policies, and how many rules each has,
as Prometheus reads figures. The guest's image must have iptables-save.`,
  flags: [
    { names: ["--sandbox-id"], value: "ID", doc: "of this pod alone" },
    { names: ["--v6"], doc: "the rules of IPv6" },
  ],
  examples: [["iptables metrics", "of all sandboxes"]],
  run: async (context) => (await import("./run-metrics-of-all.ts")).runPacketFilterMetrics(context),
};

const IPTABLES: Command = {
  ...IPTABLES_COMMAND,
  subcommands: [...(IPTABLES_COMMAND.subcommands ?? []), PACKET_FILTER_METRICS],
};

const SPELLED_OTHERWISE: readonly Command[] = [CHECK, ENV, COPY, METRICS, IPTABLES];

export const KATA_CTL_COMMANDS: readonly Command[] = [
  ...COMMANDS.filter(
    // It manages no containers.
    (command) => !CONTAINER_COMMANDS.includes(command),
  ).map((command) => SPELLED_OTHERWISE.find(({ name }) => name === command.name) ?? command),
  EXEC,
  PROCESSES,
  MONITOR,
];

function withSwitches(flags: FlagValues, names: readonly string[]): FlagValues {
  return new Map<string, string | true | readonly string[]>([
    ...flags,
    ...names.map((name): [string, true] => [name, true]),
  ]);
}
