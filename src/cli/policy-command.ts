/** `kata-runtime policy`: how it is called. */
import { type Command, EXIT_USAGE } from "./types.ts";

const WITHIN = "policy";

const SET: Command = {
  name: "set",
  within: WITHIN,
  aliases: [],
  summary: "give a running pod's agent another policy",
  description: `Sends a policy (Rego) to the agent of a pod, which puts it in force if the policy there lets it: one that does not allow
SetPolicyRequest cannot be replaced. What the policy before remembered is forgotten.`,
  flags: [{ names: ["--sandbox-id"], value: "ID", doc: "the pod's id" }],
  operands: { shown: "FILE", min: 1, max: 1 },
  examples: [["policy set policy.rego --sandbox-id 5f2c", "from a file; - is stdin"]],
  run: async (context) => (await import("./policy/run-policy.ts")).runPolicySet(context),
};

export const POLICY_COMMAND: Command = {
  name: WITHIN,
  aliases: [],
  summary: "what a pod's owner allows the host to ask of the guest",
  description: "The policy of the agent in a running pod.",
  flags: [],
  subcommands: [SET],
  examples: SET.examples,
  // Without the name of one of its commands it is the help.
  run: async () => EXIT_USAGE,
};
