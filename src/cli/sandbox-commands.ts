/** Commands about sandboxes that run: how they are called. */
import type { Command, CommandContext, Flag, Operands } from "./types.ts";

const JSON_FLAG: Flag = { names: ["--json"], doc: "write the answer as JSON" };
const SANDBOX: Operands = { shown: "SANDBOX", min: 1, max: 1 };
const SANDBOXES: Operands = { shown: "[SANDBOX...]", min: 0, max: Number.POSITIVE_INFINITY };

/** Where upstream's agent offers its console; ours is asked for over the shim. */
export const DEBUG_PORT: Flag = {
  names: ["--kata-debug-port"],
  value: "PORT",
  doc: "use the debug console at this vsock port of the guest",
};

/** Of `ps`, about sandboxes. */
export const SANDBOX_LIST_FLAGS: readonly Flag[] = [
  { names: ["--json"], doc: "write the answer as JSON" },
  { names: ["--quiet", "-q"], doc: "ids of sandboxes only" },
  { names: ["--no-trunc"], doc: "whole ids" },
];

export const INSPECT_COMMAND: Command = {
  name: "inspect",
  aliases: [],
  summary: "show all that is known of sandboxes, as JSON",
  description: `Shows of each sandbox its machine, the files that it was made from, its processes on the host, its network namespace and cgroups, and
its containers with their images and programs. An id may be shortened.`,
  flags: [{ ...JSON_FLAG, doc: "as always" }],
  operands: { shown: "SANDBOX...", min: 1, max: Number.POSITIVE_INFINITY },
  examples: [["inspect 3f2a", "the sandbox whose id begins so"]],
  run: async (context) => (await import("./sandboxes/run-inspect.ts")).runInspect(context),
};

export const TOP_COMMAND: Command = {
  name: "top",
  aliases: ["stats"],
  summary: "show what sandboxes and their containers use",
  description: `Shows for each sandbox what its programs take of the host, and below it what its containers take inside of the guest. On a terminal the
table is shown again and again until it is interrupted.`,
  flags: [
    { names: ["--no-stream"], doc: "once" },
    { names: ["--interval"], value: "SECONDS", doc: "between two tables (default 2)" },
    { ...JSON_FLAG, doc: "once, as JSON" },
  ],
  operands: SANDBOXES,
  examples: [["top 3f2a", "one sandbox and what is in it"]],
  run: async (context) => (await import("./sandboxes/run-top.ts")).runTop(context),
};

export const LOGS_COMMAND: Command = {
  name: "logs",
  aliases: [],
  summary: "show what a sandbox's shim and its guest said last",
  description: `Shows the last lines of the shim's log and of the guest's console, which its kernel and agent write to. What containers write is their
manager's: kubectl logs, ctr, podman logs. Everything that the shim says is in the log of its manager, such as containerd's journal.`,
  flags: [
    { names: ["--source"], value: "WORD", doc: "shim, guest or all (default)" },
    { names: ["--tail", "-n"], value: "NUMBER", doc: "at most so many lines of each" },
    { names: ["--follow", "-f"], doc: "go on until the sandbox ends" },
    { ...JSON_FLAG, doc: "write each line as JSON" },
  ],
  operands: SANDBOX,
  examples: [["logs -f --source guest 3f2a", "watch the guest"]],
  run: async (context) => (await import("./sandboxes/run-logs.ts")).runLogs(context),
};

export const METRICS_COMMAND: Command = {
  name: "metrics",
  aliases: [],
  summary: "show the figures of a sandbox as Prometheus reads them",
  description:
    "Shows the figures of the shim, the hypervisor, virtiofsd, the agent and the guest. kata-monitor offers those of all sandboxes.",
  flags: [JSON_FLAG],
  operands: SANDBOX,
  examples: [["metrics 3f2a", "of one sandbox"]],
  run: async (context) => (await import("./sandboxes/run-metrics.ts")).runMetrics(context),
};

export const COPY_COMMAND: Command = {
  name: "cp",
  aliases: [],
  summary: "copy files between the host and a guest",
  description: `Copies files and directories into a guest or out of it; one side is SANDBOX:PATH. They are the guest's own, beside its containers, so it
has to have a debug console: debug_console_enabled in the configuration, and an image that was built with --debug-shell. A file or directory
comes to a name below DESTINATION if that is a directory, otherwise it is called DESTINATION.`,
  flags: [],
  operands: { shown: "SOURCE DESTINATION", min: 2, max: 2 },
  examples: [
    ["cp 3f2a:/run/kata-containers ./seen", "a directory of the guest"],
    ["cp ./tool 3f2a:/tmp/", "a file into the guest"],
  ],
  run: async (context) => (await import("./guest/run-copy.ts")).runCopy(context),
};

/** In the order of the help. */
export const SANDBOX_COMMANDS: readonly Command[] = [
  INSPECT_COMMAND,
  TOP_COMMAND,
  LOGS_COMMAND,
  METRICS_COMMAND,
  COPY_COMMAND,
];

/** Whether `exec` is about the guest itself: no command, or one behind `--`, and no process that a file describes. */
export function isGuestExec({ flags, operands }: Pick<CommandContext, "flags" | "operands">): boolean {
  if (flags.has("kata-debug-port")) return true;
  return !flags.has("process") && (operands.length === 1 || operands[1] === "--");
}
