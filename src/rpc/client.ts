/**
 * The calling side of a ttrpc connection.
 *
 * Any number of calls run at once; answers come in any order and are matched by the stream's id. Ids have to grow on the wire,
 * so an id is given and its request handed to the stream in one step.
 */
import { KataError } from "../kata-error.ts";
import type { ByteStream } from "../sys/byte-stream.ts";
import type { Clock } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { type ClientCall, type StreamCall, streamCall, unaryCall } from "./client-call.ts";
import { dataFrame, FrameFlag, MAX_STREAM_ID, requestFrame } from "./frame.ts";
import { FrameReader } from "./frame-reader.ts";
import { closedError } from "./status.ts";
import type { CallOptions, ClientStream, StreamCaller, StreamShape } from "./types.ts";

export interface ClientOptions {
  /** For the deadlines of calls. Default: the event loop. */
  readonly clock?: Clock;
}

export class TtrpcClient implements StreamCaller {
  /** Settles when the connection has ended, for whatever reason. Never rejects. */
  readonly closed: Promise<void>;
  readonly #stream: ByteStream;
  readonly #clock: Clock;
  readonly #calls = new Map<number, ClientCall>();
  #nextId = 1;
  #isClosed = false;

  /** Takes `stream` over and reads from it at once. */
  constructor(stream: ByteStream, options: ClientOptions = {}) {
    this.#stream = stream;
    this.#clock = options.clock ?? loop;
    this.closed = this.#receive();
  }

  /** Ends the connection; calls under way fail with `unavailable`. */
  close(): void {
    this.#fail(undefined);
  }

  call(service: string, method: string, payload: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const call = unaryCall(`call ${service}/${method}`, resolve, reject);
      this.#open(call, service, method, payload, 0, options);
    });
  }

  openStream(
    service: string,
    method: string,
    shape: StreamShape,
    request?: Uint8Array,
    options: CallOptions = {},
  ): ClientStream<Uint8Array, Uint8Array> {
    const call = streamCall(`call ${service}/${method}`, shape, this.#clock);
    const flags = shape === "server" ? FrameFlag.remoteClosed : FrameFlag.remoteOpen;
    const id = this.#open(call, service, method, request, flags, options);
    let sendsMore = shape !== "server";
    const send = async (flag: number, message: Uint8Array): Promise<void> => {
      if (call.failure !== undefined) throw call.failure;
      if (id === undefined || !sendsMore) {
        throw new KataError("failed-precondition", {
          operation: call.operation,
          object: "nothing can be sent any more",
        });
      }
      sendsMore = flag === 0;
      await this.#write(dataFrame(id, flag, message), call);
    };
    return {
      send: (message) => send(0, message),
      closeSend: () => send(FrameFlag.remoteClosed | FrameFlag.noData, new Uint8Array(0)),
      receive: () => call.queue.pull(),
      cancel: () => {
        call.fail(new KataError("cancelled", { operation: call.operation, object: "the caller gave up" }));
      },
    };
  }

  /** Sends the request of a call. @returns its id, undefined if it failed. */
  #open(
    call: ClientCall,
    service: string,
    method: string,
    payload: Uint8Array | undefined,
    flags: number,
    options: CallOptions,
  ): number | undefined {
    const { timeoutMs, signal, metadata } = options;
    try {
      if (this.#isClosed) throw closedError(call.operation);
      if (signal?.aborted) throw signal.reason;
      if (timeoutMs !== undefined && timeoutMs <= 0) throw tooLate(call.operation, timeoutMs);
      if (this.#nextId > MAX_STREAM_ID) {
        // Every id can be used once; a new connection has new ones.
        this.close();
        throw closedError(call.operation);
      }
      const id = this.#nextId;
      const frame = requestFrame(id, flags, {
        service,
        method,
        payload,
        timeoutNano: timeoutMs === undefined ? 0 : toNanoseconds(timeoutMs),
        metadata: metadata === undefined ? undefined : toPairs(metadata),
      });
      this.#nextId += 2;
      this.#calls.set(id, call);
      const timer =
        timeoutMs === undefined
          ? undefined
          : this.#clock.after(timeoutMs, () => call.fail(tooLate(call.operation, timeoutMs)));
      const onAbort = () => call.fail(signal?.reason);
      signal?.addEventListener("abort", onAbort);
      call.onEnd(() => {
        this.#calls.delete(id);
        timer?.cancel();
        signal?.removeEventListener("abort", onAbort);
      });
      this.#stream.write(frame).catch((error: unknown) => this.#fail(error));
      return id;
    } catch (error) {
      call.fail(error);
      return undefined;
    }
  }

  async #write(frame: Uint8Array, call: StreamCall): Promise<void> {
    try {
      await this.#stream.write(frame);
    } catch (error) {
      this.#fail(error);
      throw call.failure ?? error;
    }
  }

  async #receive(): Promise<void> {
    const reader = new FrameReader(this.#stream);
    try {
      for (;;) {
        const frame = await reader.next();
        if (frame === undefined) break;
        // An answer that nobody waits for any more: its call was given up.
        await this.#calls.get(frame.stream)?.take(frame);
      }
      this.#fail(undefined);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(cause: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stream.close();
    for (const call of [...this.#calls.values()]) call.fail(closedError(call.operation, cause));
  }
}

function tooLate(operation: string, timeoutMs: number): KataError {
  return new KataError("deadline-exceeded", { operation, object: `no answer within ${timeoutMs} ms` });
}

/** The protocol's unit; more than 2^53 of them, 104 days, is as good as that. */
function toNanoseconds(ms: number): number {
  return Math.min(Math.ceil(ms * 1e6), Number.MAX_SAFE_INTEGER);
}

function toPairs(metadata: Readonly<Record<string, string>>): { key: string; value: string }[] {
  return Object.entries(metadata).map(([key, value]) => ({ key: key.toLowerCase(), value }));
}
