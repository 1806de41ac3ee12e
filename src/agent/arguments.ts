/** The agent's command line when it is a native process. */
import { KataError } from "../kata-error.ts";
import { applySettings, type ParsedSettings } from "./settings.ts";

export type AgentCommand =
  | { readonly do: "help" }
  | { readonly do: "version" }
  | {
      readonly do: "serve";
      readonly parsed: ParsedSettings;
      /** File of the policy to begin with. */
      readonly policyFile: string | undefined;
    };

export const USAGE = `Usage: kata-agent [OPTION]...

Runs containers on request. As process 1 of a virtual machine it takes its parameters from the kernel command line;
otherwise it serves as an ordinary process, as root:

  kata-agent --server-addr unix:///run/agent.sock

      --server-addr ADDRESS   listen at unix://PATH, vsock://CID:PORT or virtio-serial://NAME
      --log-level LEVEL       error, warning, info (default) or debug
  -v, --version               print the version
  -h, --help                  print this help

Environment: KATA_AGENT_SERVER_ADDR, KATA_AGENT_LOG_LEVEL; a flag goes before them. KATA_AGENT_POLICY_FILE is a policy
to begin with; KATA_AGENT_INSECURE_REGISTRIES has registries that images are pulled from without encryption,
and KATA_AGENT_IMAGE_PULL_TIMEOUT the seconds that one may take. KATA_AGENT_IMAGE_REGISTRY_AUTH and
KATA_AGENT_IMAGE_POLICY_FILE name files (file:///PATH) with passwords of registries and with the images that are accepted.
`;

/** Flags with a value, and the setting that each one is. */
const FLAGS: Readonly<Record<string, string>> = { "--server-addr": "server_addr", "--log-level": "log" };

const VARIABLES: readonly (readonly [variable: string, key: string])[] = [
  ["KATA_AGENT_SERVER_ADDR", "server_addr"],
  ["KATA_AGENT_LOG_LEVEL", "log"],
  ["KATA_AGENT_INSECURE_REGISTRIES", "image_insecure_registries"],
  ["KATA_AGENT_IMAGE_PULL_TIMEOUT", "image_pull_timeout"],
  ["KATA_AGENT_IMAGE_REGISTRY_AUTH", "image_registry_auth"],
  ["KATA_AGENT_IMAGE_POLICY_FILE", "image_policy_file"],
];

/**
 * What the command line asks for.
 *
 * @throws KataError `invalid-argument` for an unknown flag or one without its value.
 */
export function parseArguments(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): AgentCommand {
  const entries: [string, string][] = [];
  for (const [variable, key] of VARIABLES) {
    const value = environment[variable];
    if (value !== undefined && value !== "") entries.push([key, value]);
  }
  for (let index = 0; index < args.length; index++) {
    const [flag = "", inline] = splitFlag(args[index] ?? "");
    if (flag === "--help" || flag === "-h") return { do: "help" };
    if (flag === "--version" || flag === "-v") return { do: "version" };
    const key = Object.hasOwn(FLAGS, flag) ? FLAGS[flag] : undefined;
    const value = inline ?? args[++index];
    if (key === undefined || value === undefined) {
      throw new KataError("invalid-argument", {
        operation: "read command line",
        object:
          args[index] === undefined && key !== undefined ? `${flag} has no value` : JSON.stringify(flag),
        hint: "kata-agent --help shows the options",
      });
    }
    entries.push([key, value]);
  }
  return { do: "serve", parsed: applySettings(entries), policyFile: environment.KATA_AGENT_POLICY_FILE };
}

function splitFlag(argument: string): [flag: string, value?: string] {
  const equals = argument.startsWith("--") ? argument.indexOf("=") : -1;
  return equals < 0 ? [argument] : [argument.slice(0, equals), argument.slice(equals + 1)];
}
