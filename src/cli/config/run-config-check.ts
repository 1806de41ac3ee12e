/** `kata-runtime config check`: what it does. */
import { hasCode } from "../../kata-error.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK } from "../types.ts";
import { load } from "./read-settings.ts";

/** @returns 0 for a configuration that can be used, else 1. */
export async function runConfigCheck(context: CommandContext): Promise<number> {
  const { flags, operands, output } = context;
  const [file] = operands;
  const json = flags.has("json");
  try {
    const { sources, warnings, driver } = load(context, file, flags.has("strict"));
    if (json) output.data(`${JSON.stringify({ valid: true, driver, sources, warnings }, null, 2)}\n`);
    else {
      for (const warning of warnings) output.data(`warning  ${warning}\n`);
      output.data(`ok       ${sources.join(", ")}: [hypervisor.${driver}]\n`);
    }
    return EXIT_OK;
  } catch (error) {
    if (!json || !hasCode(error, "invalid-configuration")) throw error;
    output.data(`${JSON.stringify({ valid: false, error: error.message }, null, 2)}\n`);
    return EXIT_FAILED;
  }
}
