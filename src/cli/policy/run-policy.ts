/** `kata-runtime policy set FILE --sandbox-id ID`: another policy for the agent of a running pod. */
import { KataError } from "../../kata-error.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import { askShim } from "../ask-shim.ts";
import { readInput } from "../input.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";

/** @throws KataError `not-found` if no such pod runs; with the shim's words if the policy there does not let it. */
export async function runPolicySet({ flags, operands }: CommandContext): Promise<number> {
  const sandboxId = flags.get("sandbox-id");
  if (typeof sandboxId !== "string" || sandboxId === "") {
    throw new KataError("invalid-argument", {
      operation: "set policy",
      object: "the command line",
      hint: "--sandbox-id is missing",
    });
  }
  const body = utf8Encode(readInput(operands[0] ?? "-"));
  await askShim({ sandboxId, method: "PUT", target: "/policy", body });
  return EXIT_OK;
}
