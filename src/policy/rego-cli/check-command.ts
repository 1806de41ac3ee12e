/** `kata-rego check`: parses and compiles without evaluating. */
import type { Arguments } from "./arguments.ts";
import type { CommandHost } from "./command-host.ts";
import { loadProgram, readModules } from "./load-program.ts";

export function checkCommand(args: Arguments, host: CommandHost): number {
  const sources = readModules(args.positional, host);
  loadProgram(sources, args, host, true);
  if (args.flags.has("--verbose"))
    host.writeError(`${sources.length} module${sources.length === 1 ? "" : "s"} without faults\n`);
  return 0;
}
