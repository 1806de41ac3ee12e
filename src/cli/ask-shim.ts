/** Asking the shim of a running pod, over its management socket. */
import { hasErrno, KataError } from "../kata-error.ts";
import { encodeRequest, parseResponse, readHttpMessage } from "../rpc/http/http-message.ts";
import { shimMonitorSocket } from "../sandbox/sandbox-paths.ts";
import { withDeadline } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import type { FdStream } from "../sys/fd-stream.ts";
import { connect } from "../sys/socket.ts";
import { utf8Decode } from "../sys/utf8.ts";

/** The guest may have to be asked, which answers within a minute or never, ms. */
const ANSWER_DEADLINE_MS = 70_000;

export interface ShimRequest {
  readonly sandboxId: string;
  readonly method: "GET" | "POST" | "PUT";
  /** Path and query. */
  readonly target: string;
  readonly body?: Uint8Array;
}

/** @returns the body of the answer. @throws KataError `not-found` if no shim of that pod runs; with the shim's words if it refuses. */
export async function askShim({
  sandboxId,
  method,
  target,
  body = new Uint8Array(0),
}: ShimRequest): Promise<Uint8Array> {
  const stream = await connectToShim(sandboxId);
  try {
    await stream.write(encodeRequest(method, target, body));
    const what = { operation: "ask shim", object: `${target} of ${sandboxId}` };
    const message = await withDeadline(loop, ANSWER_DEADLINE_MS, what, readHttpMessage(stream, true));
    const answer = parseResponse(message);
    if (answer.status === 200) return answer.body;
    throw new KataError(answer.status === 404 ? "not-found" : "shim-refused", {
      operation: "ask shim",
      object: utf8Decode(answer.body).trim() || `status ${answer.status}`,
    });
  } finally {
    stream.close();
  }
}

async function connectToShim(sandboxId: string): Promise<FdStream> {
  const path = shimMonitorSocket(sandboxId);
  try {
    return await connect({ kind: "unix", path });
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ECONNREFUSED", "ENOTDIR")) throw error;
    throw new KataError("not-found", {
      operation: "ask shim",
      object: `sandbox ${sandboxId}`,
      errno: error.errno,
      hint: "no shim answers for it: it does not run, or its shim is older than this program",
      cause: error,
    });
  }
}
