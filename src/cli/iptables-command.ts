/** `kata-runtime iptables`: how it is called. */
import { type Command, EXIT_USAGE, type Flag } from "./types.ts";

const WITHIN = "iptables";
const SANDBOX: Flag = { names: ["--sandbox-id"], value: "ID", doc: "the pod's sandbox" };
const V6: Flag = { names: ["--v6"], doc: "the rules of IPv6" };

const GET: Command = {
  name: "get",
  within: WITHIN,
  aliases: [],
  summary: "print the packet filter of a pod's guest",
  description: "Prints all rules as iptables-save does, which the guest's image must have.",
  flags: [SANDBOX, V6, { names: ["--json"], doc: "write the lines as JSON" }],
  examples: [["iptables get --sandbox-id ID --v6", "those of IPv6"]],
  run: async (context) => (await import("./iptables/run-iptables.ts")).runGet(context),
};

const SET: Command = {
  name: "set",
  within: WITHIN,
  aliases: [],
  summary: "replace the packet filter of a pod's guest",
  description:
    "Replaces all rules by those of FILE, in the form of iptables-restore, which the guest's image must have. `-` is the standard input.",
  flags: [SANDBOX, V6],
  operands: { shown: "FILE", min: 1, max: 1 },
  examples: [["iptables set --sandbox-id ID rules", "take them from a file"]],
  run: async (context) => (await import("./iptables/run-iptables.ts")).runSet(context),
};

const COMMANDS: readonly Command[] = [GET, SET];

export const IPTABLES_COMMAND: Command = {
  name: WITHIN,
  aliases: [],
  summary: "the packet filter of a pod's guest",
  description: "For service meshes that redirect a pod's packets inside of its guest.",
  flags: [],
  subcommands: COMMANDS,
  examples: COMMANDS.flatMap(({ examples }) => examples.slice(0, 1)),
  // Without the name of one of its commands it is the help.
  run: async () => EXIT_USAGE,
};
