/** `kata-runtime completion`: what it does. */
import { suggestion } from "../../config/nearest-name.ts";
import { KataError } from "../../kata-error.ts";
import { COMMANDS } from "../commands.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import { completionScript, SHELLS } from "./completion-script.ts";

/** @throws KataError `invalid-argument` for a shell that is not known. */
export async function runCompletion({ program, operands, output }: CommandContext): Promise<number> {
  const [name = ""] = operands;
  const shell = SHELLS.find((each) => each === name);
  if (shell === undefined) {
    throw new KataError("invalid-argument", {
      operation: "read command line",
      object: JSON.stringify(name.slice(0, 200)),
      hint: `one of ${SHELLS.join(", ")}${suggestion(name, SHELLS)}`,
    });
  }
  // Loaded here: the names of all commands know this one.
  const { KATA_CTL, KATA_CTL_COMMANDS, KATA_CTL_FLAGS } = await import("../kata-ctl/commands.ts");
  output.data(
    program === KATA_CTL
      ? completionScript(shell, program, KATA_CTL_COMMANDS, KATA_CTL_FLAGS)
      : completionScript(shell, program, COMMANDS),
  );
  return EXIT_OK;
}
