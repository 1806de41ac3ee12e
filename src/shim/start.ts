/**
 * `start`: brings up the shim of a pod, or finds it for a further container of the pod, and tells containerd where it listens.
 * Source: containerd runtime v2 shim contract, "start".
 */
import { KataError } from "../kata-error.ts";
import { unlinkIfExists } from "../sys/files.ts";
import { getcwd } from "../sys/process.ts";
import { Rollback } from "../sys/rollback.ts";
import { utf8Encode } from "../sys/utf8.ts";
import type { ShimArguments } from "./arguments.ts";
import { type BootstrapInput, parseBootstrapInput, readStandardInput } from "./bootstrap-input.ts";
import { writeAddress, writeShimPid } from "./bundle-files.ts";
import { type BundleRole, bundleRole } from "./bundle-role.ts";
import { encodeBootstrapResult } from "./generated.ts";
import { CONFIGURATION_VARIABLE, launchServer } from "./launch-server.ts";
import { answers, listenAt } from "./listen-socket.ts";
import { configurationPathOf } from "./runtime-options.ts";
import { shimSocketPath } from "./socket-path.ts";

/**
 * Starts the shim.
 *
 * @returns what goes to standard output, and nothing else may.
 * @throws KataError in one line that says what to do; no shim runs then.
 */
export async function start(args: ShimArguments): Promise<Uint8Array> {
  const bundle = args.bundle || getcwd();
  const input = parseBootstrapInput(readStandardInput(), args.id, args.namespace);
  const role = bundleRole(bundle);
  const sandboxId = role.role === "member" ? role.sandboxId : args.id;
  const { address, namespace } = args;
  const directory = input.kind === "parameters" ? input.parameters.socketDir : undefined;
  const path = shimSocketPath({ address, namespace, sandboxId, ...(directory ? { directory } : {}) });
  if (role.role === "member") await findShim(path, sandboxId);
  else await startShim(args, bundle, path, serverEnvironment(role, input));
  writeAddress(bundle, `unix://${path}`);
  return bootstrapAnswer(`unix://${path}`, input, role);
}

/** The shim of the pod has to be there: containerd would dial its socket for a long time. */
async function findShim(path: string, sandboxId: string): Promise<void> {
  if (await answers(path)) return;
  throw new KataError("not-found", {
    operation: "find shim of the pod",
    object: `sandbox ${sandboxId}`,
    hint: "its first container has to be started before the others",
  });
}

async function startShim(
  args: ShimArguments,
  bundle: string,
  path: string,
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  const undo = new Rollback();
  try {
    using socket = await listenAt(path);
    undo.add("socket", () => void unlinkIfExists(path));
    const pid = await launchServer(args, bundle, socket, environment);
    writeShimPid(bundle, pid);
  } catch (error) {
    await undo.run();
    throw error;
  }
}

/** What the shim that stays is told beside its command line. */
function serverEnvironment(role: BundleRole, input: BootstrapInput): Record<string, string> {
  // Newer daemons will tell the address for events in the parameters alone.
  const address = input.kind === "parameters" ? input.parameters.containerdTtrpcAddress : "";
  const file = role.role === "controlled" ? configurationFile(input) : "";
  return {
    ...(address === "" ? {} : { TTRPC_ADDRESS: address }),
    ...(file === "" ? {} : { [CONFIGURATION_VARIABLE]: file }),
  };
}

/** The options of a sandbox's runtime come here and nowhere else; those of a container come with its Create. */
function configurationFile(input: BootstrapInput): string {
  switch (input.kind) {
    case "none":
      return "";
    case "options":
      return configurationPathOf(input.options);
    case "parameters":
      return input.parameters.extensions.reduce(
        (found, { value }) => found || configurationPathOf(value),
        "",
      );
  }
}

/**
 * What a daemon understands. Of any version: the address as text, which means version 2 of the task service. Who sends
 * parameters takes a message too, and version 3; who brings up a sandbox from 2.0 on takes JSON, and with version 3 hands all
 * containers of the sandbox to this shim.
 */
export function bootstrapAnswer(address: string, input: BootstrapInput, role: BundleRole): Uint8Array {
  const answer = { version: 3, address, protocol: "ttrpc" };
  if (input.kind === "parameters") return encodeBootstrapResult(answer);
  const isControlled = role.role === "controlled" && role.daemon === "2.x";
  return utf8Encode(isControlled ? JSON.stringify(answer) : address);
}
