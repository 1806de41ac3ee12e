/**
 * The management socket of a pod: tools of the host's administrator ask its shim there while it runs.
 *
 * Only who runs the shim may connect. Each connection is one request, which has to come within a time; more connections than the bound
 * wait in the kernel's queue.
 */
import { describeError, hasErrno, KataError } from "../../kata-error.ts";
import { encodeResponse, parseRequest, readHttpMessage } from "../../rpc/http/http-message.ts";
import { removeWithParents } from "../../sandbox/run-directories.ts";
import { managementDirectory, shimMonitorSocket } from "../../sandbox/sandbox-paths.ts";
import type { Logger } from "../../sandbox/types.ts";
import { type Clock, sleep, withDeadline } from "../../sys/clock.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import type { FdStream } from "../../sys/fd-stream.ts";
import { mkdirAll } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { formatError } from "../../sys/program.ts";
import { accept, peerCredentials } from "../../sys/socket.ts";
import { listenAt } from "../listen-socket.ts";
import type { ManagedPod } from "./managed-pod.ts";
import type { Answer } from "./routes.ts";

/** For a whole request to come, ms. */
const REQUEST_DEADLINE_MS = 10_000;
/** Connections that are served at the same time. */
const MAX_CONNECTIONS = 16;
const LISTEN_TRIES = 5;
/** Pause before a connection is taken for which something was missing, ms. */
const RETRY_MS = 200;

export interface ManagementServer {
  /** Takes no more connections and removes the socket. */
  close(): void;
}

/** Serves `pod` at its sandbox's path. @throws KataError if nobody can listen there. */
export async function serveManagement(
  pod: ManagedPod,
  clock: Clock,
  logger: Logger,
): Promise<ManagementServer> {
  const { id } = pod.sandbox;
  const directory = managementDirectory(id);
  const socket = await listenIn(directory, shimMonitorSocket(id));
  void takeConnections(socket, clock, logger, (stream) => attend(stream, pod, clock, logger));
  let isOpen = true;
  return {
    close() {
      if (!isOpen) return;
      isOpen = false;
      const { fd } = socket;
      socket.close();
      loop.forget(fd);
      removeWithParents(directory);
    },
  };
}

/** Another sandbox's end may remove the empty directory above between its making and its use. */
async function listenIn(directory: string, path: string): Promise<FileDescriptor> {
  for (let tries = 1; ; tries++) {
    try {
      mkdirAll(directory, 0o700);
      return await listenAt(path);
    } catch (error) {
      if (!hasErrno(error, "ENOENT") || tries >= LISTEN_TRIES) throw error;
    }
  }
}

async function takeConnections(
  socket: FileDescriptor,
  clock: Clock,
  logger: Logger,
  serve: (stream: FdStream) => Promise<void>,
): Promise<void> {
  const open = new Set<Promise<void>>();
  while (socket.isOpen) {
    try {
      if (open.size >= MAX_CONNECTIONS) await Promise.race(open);
      const stream = await accept(socket);
      const connection: Promise<void> = serve(stream).finally(() => open.delete(connection));
      open.add(connection);
    } catch (error) {
      if (!socket.isOpen) return;
      logger.error("take connection to the management socket", { error: describeError(error) });
      if (!hasErrno(error, "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM")) return;
      await sleep(clock, RETRY_MS);
    }
  }
}

/** Never rejects. */
async function attend(stream: FdStream, pod: ManagedPod, clock: Clock, logger: Logger): Promise<void> {
  try {
    const { uid, pid } = peerCredentials(stream.fd);
    if (uid !== check(kernel().syscall("geteuid"), "read own", "user")) {
      logger.warn("refused a connection of another user to the management socket", { uid, pid });
      return;
    }
    const what = { operation: "read request", object: "management socket" };
    const answer = await respond(stream, pod, clock, logger, what);
    if ("serve" in answer) await answer.serve();
    else await stream.write(encodeResponse(answer));
  } catch (error) {
    // Who asked is gone.
    logger.debug("answer on the management socket", { error: describeError(error) });
  } finally {
    stream.close();
  }
}

async function respond(
  stream: FdStream,
  pod: ManagedPod,
  clock: Clock,
  logger: Logger,
  what: { readonly operation: string; readonly object: string },
): Promise<Answer> {
  // Most pods are never asked anything.
  const { answer, failureAnswer } = await import("./routes.ts");
  try {
    const message = await withDeadline(clock, REQUEST_DEADLINE_MS, what, readHttpMessage(stream, false));
    return await answer(pod, parseRequest(message), stream);
  } catch (error) {
    if (error instanceof KataError)
      logger.debug("management request failed", { error: describeError(error) });
    else logger.error("management request failed", { error: formatError(error) });
    return failureAnswer(error);
  }
}
