/** `kata-rego fmt`: policies in standard style. */
import { formatModule } from "../rego/format-module.ts";
import type { Arguments } from "./arguments.ts";
import type { CommandHost } from "./command-host.ts";
import { readModules } from "./load-program.ts";

/** Prints the formatted text; with `--write` the files that differ are written and named, with `--diff` only named. */
export function formatCommand(args: Arguments, host: CommandHost): number {
  let differing = 0;
  for (const { name, text } of readModules(args.positional, host)) {
    const formatted = formatModule(name, text, args.flags.has("--v0") ? "v0" : "v1");
    if (args.flags.has("--write") || args.flags.has("--diff")) {
      if (formatted === text) continue;
      differing++;
      host.writeOut(`${name}\n`);
      if (args.flags.has("--write")) host.writeFile(name, formatted);
    } else {
      host.writeOut(formatted);
    }
  }
  return differing > 0 && args.flags.has("--diff") ? 1 : 0;
}
