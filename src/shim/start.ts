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
import { encodeBootstrapResult } from "./generated.ts";
import { containerRole } from "./grouping.ts";
import { launchServer } from "./launch-server.ts";
import { answers, listenAt } from "./listen-socket.ts";
import { readSpec } from "./read-spec.ts";
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
  const role = containerRole(readSpec(bundle).annotations ?? {});
  const sandboxId = role.role === "member" ? role.sandboxId : args.id;
  const { address, namespace } = args;
  const directory = input.kind === "parameters" ? input.parameters.socketDir : undefined;
  const path = shimSocketPath({ address, namespace, sandboxId, ...(directory ? { directory } : {}) });
  if (role.role === "member") await findShim(path, sandboxId);
  else await startShim(args, bundle, path, input);
  writeAddress(bundle, `unix://${path}`);
  return bootstrapAnswer(`unix://${path}`, input);
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
  input: BootstrapInput,
): Promise<void> {
  const undo = new Rollback();
  try {
    using socket = await listenAt(path);
    undo.add("socket", () => void unlinkIfExists(path));
    const pid = await launchServer(args, bundle, socket, eventAddress(input));
    writeShimPid(bundle, pid);
  } catch (error) {
    await undo.run();
    throw error;
  }
}

/** The address for events: newer daemons will tell it in the parameters alone. */
function eventAddress(input: BootstrapInput): Record<string, string> {
  const address = input.kind === "parameters" ? input.parameters.containerdTtrpcAddress : "";
  return address === "" ? {} : { TTRPC_ADDRESS: address };
}

/**
 * What a daemon of any version understands: the address as text, which means version 2 of the task service. Who sends
 * parameters takes a message too, and version 3.
 */
export function bootstrapAnswer(address: string, input: BootstrapInput): Uint8Array {
  if (input.kind !== "parameters") return utf8Encode(address);
  return encodeBootstrapResult({ version: 3, address, protocol: "ttrpc" });
}
