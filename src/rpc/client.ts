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
import { type CallTable, type ClientCall, StreamCall, tooLate, UnaryCall } from "./client-call.ts";
import { dataFrame, FrameFlag, type FrameHeader, FrameType, MAX_STREAM_ID, requestFrame } from "./frame.ts";
import { FrameParser } from "./frame-parser.ts";
import type { LastingClient } from "./lasting-stream.ts";
import { closedError } from "./status.ts";
import type { CallOptions, ClientStream, StreamCaller, StreamShape } from "./types.ts";

export interface ClientOptions {
  /** For the deadlines of calls. Default: the event loop. */
  readonly clock?: Clock;
  /** The stream outlives its connections, and may hold what is left of earlier ones. See `lasting-stream.ts`. */
  readonly lasting?: LastingClient;
}

const NO_OPTIONS: CallOptions = {};

export class TtrpcClient implements StreamCaller {
  /** Settles when the connection has ended, for whatever reason. Never rejects. */
  readonly closed: Promise<void>;
  readonly #stream: ByteStream;
  readonly #clock: Clock;
  readonly #calls: CallTable = new Map();
  /** One for all writes: a call should not need a function of its own. */
  readonly #onWriteFailure = (error: unknown): void => this.#fail(error);
  #nextId: number;
  #isClosed = false;

  /** Takes `stream` over and reads from it at once. */
  constructor(stream: ByteStream, options: ClientOptions = {}) {
    this.#stream = stream;
    this.#clock = options.clock ?? loop;
    this.#nextId = options.lasting?.firstStream ?? 1;
    this.closed = this.#receive(options.lasting !== undefined);
  }

  /** Ends the connection; calls under way fail with `unavailable`. */
  close(): void {
    this.#fail(undefined);
  }

  call(
    service: string,
    method: string,
    payload: Uint8Array,
    options: CallOptions = NO_OPTIONS,
  ): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#open(new UnaryCall(service, method, resolve, reject), payload, 0, options);
    });
  }

  openStream(
    service: string,
    method: string,
    shape: StreamShape,
    request?: Uint8Array,
    options: CallOptions = NO_OPTIONS,
  ): ClientStream<Uint8Array, Uint8Array> {
    const call = new StreamCall(service, method, shape, this.#clock);
    const flags = shape === "server" ? FrameFlag.remoteClosed : FrameFlag.remoteOpen;
    const id = this.#open(call, request, flags, options);
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
        service: call.service,
        method: call.method,
        payload,
        timeoutNano: timeoutMs === undefined ? 0 : toNanoseconds(timeoutMs),
        metadata: metadata === undefined ? undefined : toPairs(metadata),
      });
      this.#nextId += 2;
      call.begin(this.#calls, id);
      if (timeoutMs !== undefined) call.endAfter(this.#clock, timeoutMs);
      if (signal !== undefined) call.endOn(signal);
      this.#stream.write(frame).then(undefined, this.#onWriteFailure);
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

  async #receive(mayHoldOldFrames: boolean): Promise<void> {
    const isOwnAnswer = ({ stream, type }: FrameHeader) =>
      type === FrameType.response && this.#calls.has(stream);
    const parser = new FrameParser(mayHoldOldFrames ? isOwnAnswer : undefined);
    try {
      for (;;) {
        const frame = parser.next();
        if (frame !== undefined) {
          // An answer that nobody waits for any more is dropped: its call was given up.
          const held = this.#calls.get(frame.stream)?.take(frame);
          if (held !== undefined) await held;
        } else {
          const count = await this.#stream.read(parser.space());
          if (count === 0) break;
          parser.filled(count);
        }
      }
      parser.end();
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

/** The protocol's unit; more than 2^53 of them, 104 days, is as good as that. */
function toNanoseconds(ms: number): number {
  return Math.min(Math.ceil(ms * 1e6), Number.MAX_SAFE_INTEGER);
}

function toPairs(metadata: Readonly<Record<string, string>>): { key: string; value: string }[] {
  return Object.entries(metadata).map(([key, value]) => ({ key: key.toLowerCase(), value }));
}
