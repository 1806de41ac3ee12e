/** What runs in a container, and as whom. */
import type { Image } from "../image/image.ts";
import type { Pod, PodContainer } from "../kubernetes/pod.ts";
import type { ProcessPolicy } from "../policy-data.ts";
import type { Settings } from "../settings.ts";
import { containerCapabilities } from "./capabilities.ts";
import { expand, podVariables, type Sources } from "./environment.ts";
import { containerUser, pauseUser } from "./user.ts";

/** The environment of an image that has none. Source: containerd, oci.defaultUnixEnv. */
const DEFAULT_ENVIRONMENT = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];

export function containerProcess(
  pod: Pod,
  container: PodContainer,
  image: Image,
  settings: Settings,
  sources: Sources,
): ProcessPolicy {
  const variables = podVariables(pod, container, sources);
  const { process } = settings.other;
  return {
    Terminal: container.tty,
    User: containerUser(pod.security, container, image),
    Args: withMissing(
      commandLine(container, image).map((argument) => expand(argument, variables)),
      process.args,
    ),
    Env: withMissing(environment(container, image, variables), process.env),
    Cwd: container.workingDir || image.config.workingDir || "/",
    Capabilities: containerCapabilities(container, settings),
    NoNewPrivileges: !container.security.allowsPrivilegeEscalation,
  };
}

/** The sandbox's own process. */
export function pauseProcess(pod: Pod, image: Image, settings: Settings): ProcessPolicy {
  const { process } = settings.pause;
  const { entrypoint, cmd, env, workingDir } = image.config;
  const capabilities = ["$(default_caps)"];
  return {
    Terminal: false,
    User: pauseUser(pod.security, image, process, settings.pauseGroups),
    Args: withMissing([...entrypoint, ...cmd], process.args),
    Env: withMissing(env.length === 0 ? DEFAULT_ENVIRONMENT : env, process.env),
    Cwd: workingDir || "/",
    Capabilities: {
      Ambient: [],
      Bounding: capabilities,
      Effective: capabilities,
      Inheritable: [],
      Permitted: capabilities,
    },
    NoNewPrivileges: true,
  };
}

/** A pod's command replaces the image's entry point and its arguments; a pod's arguments only the latter. */
function commandLine({ command, args }: PodContainer, { config }: Image): string[] {
  if (command !== undefined) return [...command, ...(args ?? [])];
  return [...config.entrypoint, ...(args ?? config.cmd)];
}

/** Variables of the pod replace the image's of the same name. */
function environment(
  container: PodContainer,
  image: Image,
  variables: ReadonlyMap<string, string>,
): string[] {
  const { env } = image.config;
  const all = new Map<string, string>();
  const add = (variable: string) => {
    const equals = variable.indexOf("=");
    all.set(equals < 0 ? variable : variable.slice(0, equals), variable);
  };
  for (const variable of env.length === 0 ? DEFAULT_ENVIRONMENT : env) add(variable);
  if (container.tty) add("TERM=xterm");
  add("HOSTNAME=$(host-name)");
  for (const [name, value] of variables) add(`${name}=${value}`);
  return [...all.values()];
}

function withMissing(list: readonly string[], additions: readonly string[]): string[] {
  return [...list, ...additions.filter((item) => !list.includes(item))];
}
