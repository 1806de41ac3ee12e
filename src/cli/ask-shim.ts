/** Asking the shim of a running pod, over its management socket. */
import { hasErrno, KataError } from "../kata-error.ts";
import { encodeRequest, parseResponse, readHttpMessage } from "../rpc/http/http-message.ts";
import { withDeadline } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import type { FdStream } from "../sys/fd-stream.ts";
import { connect } from "../sys/socket.ts";
import { utf8Decode } from "../sys/utf8.ts";
import { managementSockets } from "./sandboxes/sandbox-directories.ts";

/** The guest may have to be asked, which answers within a minute or never, ms. */
const ANSWER_DEADLINE_MS = 70_000;

export interface ShimRequest {
  readonly sandboxId: string;
  readonly method: "GET" | "POST" | "PUT";
  /** Path and query. */
  readonly target: string;
  readonly body?: Uint8Array;
  readonly deadlineMs?: number;
}

/**
 * @returns the body of the answer.
 * @throws KataError `not-found` if no shim of that pod runs; `no-route` if it does not know the path, as upstream's do not know ours;
 * with the shim's words if it refuses.
 */
export async function askShim({
  sandboxId,
  method,
  target,
  body = new Uint8Array(0),
  deadlineMs = ANSWER_DEADLINE_MS,
}: ShimRequest): Promise<Uint8Array> {
  const stream = await connectToShim(sandboxId);
  try {
    await stream.write(encodeRequest(method, target, body));
    const what = { operation: "ask shim", object: `${target} of ${sandboxId}` };
    const message = await withDeadline(loop, deadlineMs, what, readHttpMessage(stream, true));
    const answer = parseResponse(message);
    if (answer.status === 200) return answer.body;
    throw refusal(answer, target);
  } finally {
    stream.close();
  }
}

/** What an answer that is no 200 means. */
export function refusal(
  answer: { readonly status: number; readonly body: Uint8Array },
  target: string,
): KataError {
  const words = utf8Decode(answer.body).trim();
  const path = target.split("?", 1)[0] ?? target;
  // Ours says which path; Go's and Rust's servers say this, or nothing.
  const isUnknown =
    answer.status === 404 && /^(there is no \/|404 page not found$|Not Found$|$)/i.test(words);
  return new KataError(isUnknown ? "no-route" : answer.status === 404 ? "not-found" : "shim-refused", {
    operation: "ask shim",
    object: isUnknown ? path : words || `status ${answer.status}`,
    hint: isUnknown ? "the pod's shim does not know that: it is of another version" : undefined,
  });
}

/** @throws KataError `not-found` if no shim answers for the sandbox. */
export async function connectToShim(sandboxId: string): Promise<FdStream> {
  let failure: KataError | undefined;
  for (const path of managementSockets(sandboxId)) {
    try {
      return await connect({ kind: "unix", path });
    } catch (error) {
      if (!hasErrno(error, "ENOENT", "ECONNREFUSED", "ENOTDIR")) throw error;
      failure ??= error;
    }
  }
  throw new KataError("not-found", {
    operation: "ask shim",
    object: `sandbox ${sandboxId}`,
    errno: failure?.errno,
    hint: "no shim answers for it: it does not run, or its shim is older than this program",
    cause: failure,
  });
}
