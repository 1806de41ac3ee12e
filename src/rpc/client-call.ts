/** A call that is under way: what its caller gets for the frames that come. */
import { KataError } from "../kata-error.ts";
import type { Clock } from "../sys/clock.ts";
import { FrameFlag, FrameType, oversized } from "./frame.ts";
import type { Frame } from "./frame-reader.ts";
import { decodeResponse } from "./generated.ts";
import { MessageQueue } from "./message-queue.ts";
import { errorOf } from "./status.ts";
import type { StreamShape } from "./types.ts";

export interface ClientCall {
  /** For messages: "call SERVICE/METHOD". */
  readonly operation: string;
  /** Handles a frame of this call. A promise: the connection should wait for it before it reads on. */
  take(frame: Frame): Promise<void> | undefined;
  /** Ends the call with an error; no effect after its end. */
  fail(error: unknown): void;
  /** Runs `cleanup` when the call ends, at once if it has. */
  onEnd(cleanup: () => void): void;
}

export interface StreamCall extends ClientCall {
  readonly queue: MessageQueue;
  /** Why it ended, undefined if it did not fail. */
  readonly failure: unknown;
}

/** Runs what is to be done at the end of a call, once. */
class End {
  #cleanup: (() => void) | undefined;
  #reached = false;

  get reached(): boolean {
    return this.#reached;
  }

  set(cleanup: () => void): void {
    if (this.#reached) cleanup();
    else this.#cleanup = cleanup;
  }

  reach(): boolean {
    if (this.#reached) return false;
    this.#reached = true;
    this.#cleanup?.();
    return true;
  }
}

export function unaryCall(
  operation: string,
  resolve: (payload: Uint8Array) => void,
  reject: (error: unknown) => void,
): ClientCall {
  const end = new End();
  const fail = (error: unknown) => {
    if (end.reach()) reject(error);
  };
  return {
    operation,
    fail,
    onEnd: (cleanup) => end.set(cleanup),
    take(frame) {
      try {
        const payload = responsePayload(frame, operation);
        if (end.reach()) resolve(payload);
      } catch (error) {
        fail(error);
      }
      return undefined;
    },
  };
}

export function streamCall(operation: string, shape: StreamShape, clock: Clock): StreamCall {
  const end = new End();
  const queue = new MessageQueue();
  let failure: unknown;
  const fail = (error: unknown) => {
    if (!end.reach()) return;
    failure = error;
    queue.abort(error);
  };
  const finish = () => {
    if (end.reach()) queue.end();
  };
  return {
    operation,
    queue,
    get failure() {
      return failure;
    },
    fail,
    onEnd: (cleanup) => end.set(cleanup),
    async take(frame) {
      try {
        if (frame.type !== FrameType.data) {
          const payload = responsePayload(frame, operation);
          // Only a single answer comes in a response; a stream of them ends with one if it failed.
          if (shape === "client" || payload.length > 0) queue.push(payload, clock);
          finish();
          return;
        }
        if (frame.body === undefined) throw oversized(operation, frame.length);
        const isMessage = (frame.flags & FrameFlag.noData) === 0;
        const room = isMessage ? queue.push(frame.body, clock) : undefined;
        if ((frame.flags & FrameFlag.remoteClosed) !== 0) finish();
        else if (room !== undefined && !(await room)) {
          throw new KataError("resource-exhausted", { operation, object: "stream buffer full" });
        }
      } catch (error) {
        // What came before is read first.
        if (!end.reach()) return;
        failure = error;
        queue.end(error);
      }
    },
  };
}

/** The message in a response. @throws KataError with the status that the server answered. */
function responsePayload(frame: Frame, operation: string): Uint8Array {
  if (frame.body === undefined) throw oversized(operation, frame.length);
  if (frame.type !== FrameType.response) {
    throw new KataError("internal", {
      operation,
      object: `a frame of type ${frame.type} came instead of a response`,
    });
  }
  const { status, payload } = decodeResponse(frame.body);
  if (status !== undefined && status.code !== 0) throw errorOf(status, operation);
  return payload;
}
