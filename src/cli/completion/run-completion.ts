/** `kata-runtime completion`: what it does. */
import { suggestion } from "../../config/nearest-name.ts";
import { KataError } from "../../kata-error.ts";
import { COMMANDS } from "../commands.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import { completionScript, SHELLS } from "./completion-script.ts";

/** @throws KataError `invalid-argument` for a shell that is not known. */
export async function runCompletion({ operands, output }: CommandContext): Promise<number> {
  const [name = ""] = operands;
  const shell = SHELLS.find((each) => each === name);
  if (shell === undefined) {
    throw new KataError("invalid-argument", {
      operation: "read command line",
      object: JSON.stringify(name.slice(0, 200)),
      hint: `one of ${SHELLS.join(", ")}${suggestion(name, SHELLS)}`,
    });
  }
  output.data(completionScript(shell, "kata-runtime", COMMANDS));
  return EXIT_OK;
}
