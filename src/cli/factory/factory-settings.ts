/** What the factory's commands take from the configuration. */
import { loadConfiguration } from "../../sandbox/load-configuration.ts";
import { type SandboxSettings, sandboxSettings } from "../../sandbox/settings.ts";
import { Logger } from "../../sys/log.ts";
import { textFlag } from "../flag-values.ts";
import type { CommandContext } from "../types.ts";

const STDERR = 2;

/** @throws KataError `invalid-configuration`, `unsupported`. */
export function factorySettings({ flags, environment }: CommandContext): SandboxSettings {
  const option = textFlag(flags, "config") ?? "";
  return sandboxSettings(loadConfiguration({ option, environment: environment.KATA_CONF_FILE ?? "" }));
}

export function factoryLogger(settings: SandboxSettings, source: string): Logger {
  return new Logger(STDERR, settings.machine.debug ? "debug" : "info", { name: "kata-runtime", source });
}
