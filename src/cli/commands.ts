/** All commands, in the order of the help. */
import { AZURE_COMMAND } from "./azure-command.ts";
import { CHECK_COMMAND } from "./check-command.ts";
import { COMPLETION_COMMAND } from "./completion-command.ts";
import { CONFIG_COMMAND } from "./config-command.ts";
import { CONTAINER_COMMANDS } from "./container-commands.ts";
import { DIRECT_VOLUME_COMMAND } from "./direct-volume-command.ts";
import { DOCTOR_COMMAND } from "./doctor-command.ts";
import { ENV_COMMAND } from "./env-command.ts";
import { FACTORY_COMMAND } from "./factory-command.ts";
import { IPTABLES_COMMAND } from "./iptables-command.ts";
import { LOG_PARSER_COMMAND } from "./log-parser-command.ts";
import { POLICY_COMMAND } from "./policy-command.ts";
import { SANDBOX_COMMANDS } from "./sandbox-commands.ts";
import type { Command } from "./types.ts";
import { VERSION_COMMAND } from "./version-command.ts";

export const COMMANDS: readonly Command[] = [
  CHECK_COMMAND,
  DOCTOR_COMMAND,
  ENV_COMMAND,
  CONFIG_COMMAND,
  LOG_PARSER_COMMAND,
  ...SANDBOX_COMMANDS,
  DIRECT_VOLUME_COMMAND,
  FACTORY_COMMAND,
  IPTABLES_COMMAND,
  POLICY_COMMAND,
  AZURE_COMMAND,
  COMPLETION_COMMAND,
  VERSION_COMMAND,
  ...CONTAINER_COMMANDS,
];
