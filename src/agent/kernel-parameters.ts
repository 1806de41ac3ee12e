/**
 * The kernel command line of the guest, as far as it is meant for the agent.
 * Source: Linux Documentation/admin-guide/kernel-parameters.rst (quoting); upstream kata-agent (keys).
 */
import { applySettings, type ParsedSettings, parseBoolean } from "./settings.ts";

/** The agent's settings from `commandLine`, the content of `/proc/cmdline`. */
export function settingsFromKernelParameters(commandLine: string): ParsedSettings {
  const entries: [string, string][] = [];
  for (const [name, value] of splitParameters(commandLine)) {
    if (name.startsWith("agent.")) entries.push([name.slice("agent.".length), value]);
    else if (name === "systemd.unified_cgroup_hierarchy" && parseBoolean(value))
      entries.push(["unified_cgroup_hierarchy", value]);
    else if (name === "cgroup_no_v1" && value === "all") entries.push(["unified_cgroup_hierarchy", ""]);
  }
  return applySettings(entries);
}

/** `name=value` pairs; a parameter without `=` has an empty value. Double quotes keep spaces together. */
export function splitParameters(commandLine: string): [name: string, value: string][] {
  const parameters: [string, string][] = [];
  for (const [word] of commandLine.matchAll(/(?:"[^"]*"?|[^\s"])+/g)) {
    const text = word.replaceAll('"', "");
    const equals = text.indexOf("=");
    parameters.push(equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)]);
  }
  return parameters;
}
