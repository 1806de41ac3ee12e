/** Runs the agent's second part the first time that it is needed. */
import { runExtension } from "../../sys/extension.ts";
import type { AgentExtension } from "./extension-types.ts";

let loaded: AgentExtension | undefined;

/** @throws KataError `unavailable` if the program was built without it. */
export function agentExtension(): AgentExtension {
  loaded ??= (runExtension() as { readonly extension: AgentExtension }).extension;
  return loaded;
}
