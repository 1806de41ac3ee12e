/** `kata-runtime config show`: what it does. */
import type { SectionName } from "../../config/configuration.ts";
import { sectionHeader, toToml } from "../../config/sample.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import { DEFAULT, load, type Setting, settingsOf } from "./read-settings.ts";

export async function runConfigShow(context: CommandContext): Promise<number> {
  const { flags, operands, output } = context;
  const configuration = load(context, operands[0]);
  const shown = settingsOf(configuration).filter(({ from }) => !flags.has("changed") || from !== DEFAULT);
  const { sources, driver, warnings } = configuration;
  if (flags.has("json")) {
    output.data(`${JSON.stringify({ sources, driver, settings: shown, warnings }, null, 2)}\n`);
    return EXIT_OK;
  }
  output.data(settingLines(shown, driver));
  for (const warning of warnings) output.progress(`warning: ${warning}\n`);
  return EXIT_OK;
}

/** As TOML, each value with its place behind it. */
export function settingLines(settings: readonly Setting[], driver: string): string {
  let section: SectionName | undefined;
  let text = "";
  for (const each of settings) {
    if (each.section !== section)
      text += `${section === undefined ? "" : "\n"}${sectionHeader(each.section, driver)}\n`;
    section = each.section;
    text += `${each.key} = ${toToml(each.value)}  # ${each.from}\n`;
  }
  return text;
}
