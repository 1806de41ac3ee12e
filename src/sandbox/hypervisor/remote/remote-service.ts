/**
 * The service that makes machines somewhere else, in calls of the ttrpc protocol `hypervisor.Hypervisor` (proto/remote.proto).
 *
 * Each call has a connection of its own: the service may be restarted while its machines run, and ends what it is doing for a
 * connection that is closed.
 */
import { describeError, hasCode, hasErrno, KataError } from "../../../kata-error.ts";
import { TtrpcClient } from "../../../rpc/client.ts";
import { connectWhenReady } from "../../../rpc/connect.ts";
import type { ByteStream } from "../../../sys/byte-stream.ts";
import { type CancelSignal, orCancelled } from "../../../sys/cancellation.ts";
import { connect, MAX_SOCKET_PATH_BYTES, type SocketAddress } from "../../../sys/socket.ts";
import { utf8Encode } from "../../../sys/utf8.ts";
import { type HypervisorClient, hypervisorClient } from "../../generated.ts";

export interface RemoteService {
  /** Where it listens. */
  readonly socket: string;
  /** For each call, ms; 0 for the usual one. */
  readonly timeoutMs: number;
}

/** What a service says for a machine that it does not know; those written in Go answer it as an unknown error. */
const NOT_KNOWN = /does not exist|not found|no such/i;
/** A service that is being restarted is waited for when a machine is to be stopped: it costs until then, ms. */
const RESTART_MS = 10_000;
/** Where no limit is set, ms. Source: upstream's runtime. */
const DEFAULT_TIMEOUT_MS = 60_000;

/** Version of the service; empty for one that does not tell. */
export async function remoteVersion(service: RemoteService, signal?: CancelSignal): Promise<string> {
  try {
    const { version } = await call(service, "ask for the version", signal, (client, options) =>
      client.version({ version: "0.0.0" }, options),
    );
    return version.slice(0, 100);
  } catch (error) {
    if (hasCode(error, "unimplemented")) return "";
    throw error;
  }
}

/**
 * Describes a machine to the service.
 *
 * @returns where its agent will be reached.
 * @throws KataError with the service's own words; `malformed-message` if it names no socket.
 */
export async function createRemote(
  service: RemoteService,
  request: {
    readonly id: string;
    readonly annotations: ReadonlyMap<string, string>;
    readonly networkNamespacePath: string;
  },
  signal?: CancelSignal,
): Promise<SocketAddress> {
  const { agentSocketPath } = await call(service, "create machine", signal, (client, options) =>
    client.createVM(request, options),
  );
  return agentAddress(agentSocketPath);
}

/** Starts a machine that was created; it has been made when this settles. */
export async function startRemote(service: RemoteService, id: string, signal?: CancelSignal): Promise<void> {
  await call(service, "start machine", signal, (client, options) => client.startVM({ id }, options));
}

/** Ends a machine and what the service has made for it. No error if the service does not know it. */
export async function stopRemote(service: RemoteService, id: string): Promise<void> {
  const what = "stop machine";
  const address = { kind: "unix", path: service.socket } as const;
  const stream = await connectWhenReady(address, { timeoutMs: RESTART_MS }).catch((error: unknown) => {
    throw notThere(service, what, error);
  });
  try {
    await use(service, what, stream, undefined, (client, options) => client.stopVM({ id }, options));
  } catch (error) {
    if (hasCode(error, "not-found") || NOT_KNOWN.test(describeError(error))) return;
    throw error;
  }
}

type Use<T> = (client: HypervisorClient, options: { readonly timeoutMs: number }) => Promise<T>;

async function call<T>(
  service: RemoteService,
  operation: string,
  signal: CancelSignal | undefined,
  request: Use<T>,
): Promise<T> {
  let stream: ByteStream;
  try {
    stream = await connect({ kind: "unix", path: service.socket }, signal);
  } catch (error) {
    throw notThere(service, operation, error);
  }
  return await use(service, operation, stream, signal, request);
}

async function use<T>(
  { socket, timeoutMs }: RemoteService,
  operation: string,
  stream: ByteStream,
  signal: CancelSignal | undefined,
  request: Use<T>,
): Promise<T> {
  const client = new TtrpcClient(stream);
  const limit = timeoutMs > 0 ? timeoutMs : DEFAULT_TIMEOUT_MS;
  try {
    return await orCancelled(request(hypervisorClient(client), { timeoutMs: limit }), signal);
  } catch (error) {
    if (signal?.aborted || !(error instanceof KataError)) throw error;
    const late = error.code === "deadline-exceeded";
    throw new KataError(error.code, {
      operation: `${operation} with the remote hypervisor`,
      object: `${socket}: ${error.message}`,
      cause: error,
      ...(late ? { hint: "remote_hypervisor_timeout of [hypervisor.remote] is how long it may take" } : {}),
    });
  } finally {
    client.close();
  }
}

/** What a service that cannot be reached means. */
function notThere({ socket }: RemoteService, operation: string, error: unknown): unknown {
  const cause = hasCode(error, "deadline-exceeded") ? error.cause : error;
  if (!hasErrno(cause, "ENOENT", "ECONNREFUSED", "ENOTDIR", "EACCES")) return error;
  return new KataError("unavailable", {
    operation: `${operation} with the remote hypervisor`,
    object: socket,
    errno: cause.errno,
    hint: "start the service that makes machines (for peer pods, the cloud API adaptor), or set remote_hypervisor_socket of [hypervisor.remote] to its socket",
    cause: error,
  });
}

/** A path, or a name that begins with `@`. @throws KataError `malformed-message` for what can be no socket's. */
function agentAddress(path: string): SocketAddress {
  const bytes = utf8Encode(path).length;
  const isPath = path.startsWith("/") || (path.startsWith("@") && path.length > 1);
  if (!isPath || path.includes("\0") || bytes > MAX_SOCKET_PATH_BYTES) {
    throw new KataError("malformed-message", {
      operation: "create machine with the remote hypervisor",
      object: `agent socket ${JSON.stringify(path.slice(0, 200))}`,
      hint: `the service has to name a socket of at most ${MAX_SOCKET_PATH_BYTES} bytes`,
    });
  }
  return path.startsWith("@") ? { kind: "abstract", name: path.slice(1) } : { kind: "unix", path };
}
