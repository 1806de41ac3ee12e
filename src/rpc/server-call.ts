/** A call that a server answers: its context, its messages, its one end. */
import { KataError } from "../kata-error.ts";
import type { ByteStream } from "../sys/byte-stream.ts";
import { type CancelSignal, CancelSource } from "../sys/cancellation.ts";
import type { Clock, Timer } from "../sys/clock.ts";
import { traceCall } from "../sys/trace.ts";
import { dataFrame, FrameFlag, responseFrame } from "./frame.ts";
import type { Request } from "./generated.ts";
import { MessageQueue } from "./message-queue.ts";
import { statusOf } from "./status.ts";
import type { CallContext, Method, ServerStream } from "./types.ts";

/** The connection as its calls see it. */
export interface CallHost {
  readonly stream: ByteStream;
  readonly clock: Clock;
  /** The call is answered or abandoned: frames for it are of no use any more. */
  forget(id: number): void;
  handlerFailed(request: Request, error: unknown): void;
  /** So many bytes more wait to be sent, or fewer if it is negative. */
  hold(bytes: number): void;
  /** @param bytes what {@link ServerCall.run} was given. */
  handlerEnded(bytes: number): void;
}

const NO_METADATA: ReadonlyMap<string, readonly string[]> = new Map();

export class ServerCall implements CallContext {
  readonly metadata: ReadonlyMap<string, readonly string[]>;
  readonly timeoutMs: number | undefined;
  readonly #host: CallHost;
  readonly #id: number;
  readonly #request: Request;
  readonly #method: Method;
  readonly #queue: MessageQueue | undefined;
  readonly #timer: Timer | undefined;
  /** Made when it is asked for: most handlers do not wait. */
  #source: CancelSource | undefined;
  #end: { readonly reason: unknown } | undefined;
  readonly #endPhase: () => void;

  /** @param sendsMore the caller has said that data follows the request. */
  constructor(host: CallHost, id: number, request: Request, method: Method, sendsMore: boolean) {
    this.#host = host;
    this.#id = id;
    this.#request = request;
    this.#method = method;
    this.metadata = toMap(request);
    this.#endPhase = traceCall(request.method);
    if (request.timeoutNano > 0n) {
      const timeoutMs = Number(request.timeoutNano) / 1e6;
      this.timeoutMs = timeoutMs;
      this.#timer = host.clock.after(timeoutMs, () => this.#timeOut(timeoutMs));
    }
    if (method.kind === "stream") {
      this.#queue = new MessageQueue();
      if (method.shape === "server" || request.payload.length > 0)
        this.#queue.push(request.payload, host.clock);
      if (!sendsMore) this.#queue.end();
    }
  }

  get isStream(): boolean {
    return this.#queue !== undefined;
  }

  get signal(): CancelSignal {
    if (this.#source === undefined) {
      this.#source = new CancelSource();
      if (this.#end !== undefined) this.#source.cancel(this.#end.reason);
    }
    return this.#source.signal;
  }

  /** Runs the handler and sends its answer. */
  run(bytes: number): void {
    let work: Promise<Uint8Array | undefined>;
    try {
      work =
        this.#method.kind === "unary"
          ? this.#method.handle(this.#request.payload, this)
          : this.#method.handle(this.#messages(), this);
    } catch (error) {
      work = Promise.reject(error);
    }
    work.then(
      (payload) => this.#answer(payload, bytes),
      (error: unknown) => this.#answerError(error, bytes),
    );
  }

  /** Handles a data frame of a stream. A promise: the connection should wait for it before it reads on. */
  async take(flags: number, body: Uint8Array): Promise<void> {
    const queue = this.#queue;
    if (queue === undefined) return;
    const isMessage = (flags & FrameFlag.noData) === 0;
    if (queue.ended) {
      if (isMessage) await this.#failStream("data handling error: ttrpc: stream closed");
      return;
    }
    const room = isMessage ? queue.push(body, this.#host.clock) : undefined;
    if ((flags & FrameFlag.remoteClosed) !== 0) queue.end();
    else if (room !== undefined && !(await room))
      await this.#failStream("data handling error: stream buffer full");
  }

  /** Ends the call without an answer: the connection is gone, or its answer is sent already. */
  abandon(reason: unknown): void {
    if (this.#end !== undefined) return;
    this.#finish(reason);
    this.#source?.cancel(reason);
    this.#queue?.abort(reason);
  }

  #answer(payload: Uint8Array | undefined, bytes: number): void {
    if (this.#end !== undefined) {
      this.#host.handlerEnded(bytes);
      return;
    }
    let frame: Uint8Array;
    try {
      frame =
        payload === undefined
          ? dataFrame(this.#id, FrameFlag.remoteClosed | FrameFlag.noData, NOTHING)
          : responseFrame(this.#id, { payload });
    } catch (error) {
      // It is too large.
      this.#answerError(error, bytes);
      return;
    }
    this.#finish(ANSWERED);
    this.#write(frame, bytes);
  }

  #answerError(error: unknown, bytes: number): void {
    this.#host.handlerFailed(this.#request, error);
    if (this.#end !== undefined) {
      this.#host.handlerEnded(bytes);
      return;
    }
    this.#finish(error);
    this.#write(responseFrame(this.#id, { status: statusOf(error) }), bytes);
  }

  #messages(): ServerStream<Uint8Array, Uint8Array> {
    const queue = this.#queue ?? new MessageQueue();
    return {
      receive: () => queue.pull(),
      send: async (message) => {
        if (this.#end !== undefined) throw this.#end.reason;
        await this.#host.stream.write(dataFrame(this.#id, 0, message));
      },
    };
  }

  async #failStream(object: string): Promise<void> {
    const error = new KataError("invalid-argument", { operation: "receive", object });
    this.abandon(error);
    await this.#host.stream.write(
      responseFrame(this.#id, { status: { ...statusOf(error), message: object } }),
    );
  }

  #timeOut(timeoutMs: number): void {
    const error = new KataError("deadline-exceeded", {
      operation: `serve ${this.#request.service}/${this.#request.method}`,
      object: `not done within ${timeoutMs} ms`,
    });
    this.abandon(error);
    this.#write(responseFrame(this.#id, { status: { ...statusOf(error), message: "timeout" } }), undefined);
  }

  #finish(reason: unknown): void {
    this.#end = { reason };
    this.#endPhase();
    this.#timer?.cancel();
    this.#host.forget(this.#id);
  }

  /** @param bytes of the request of a handler that has ended, undefined if it goes on. */
  #write(frame: Uint8Array, bytes: number | undefined): void {
    const { stream } = this.#host;
    this.#host.hold(frame.length);
    const ended = () => {
      this.#host.hold(-frame.length);
      if (bytes !== undefined) this.#host.handlerEnded(bytes);
    };
    // A caller that is gone is no failure of the call; closing lets the connection's reader see its end.
    stream.write(frame).then(ended, () => {
      stream.close();
      ended();
    });
  }
}

const NOTHING = new Uint8Array(0);

const ANSWERED = new KataError("cancelled", { operation: "serve call", object: "it is answered" });

function toMap({ metadata }: Request): ReadonlyMap<string, readonly string[]> {
  if (metadata.length === 0) return NO_METADATA;
  const values = new Map<string, string[]>();
  for (const { key, value } of metadata) {
    const name = key.toLowerCase();
    const list = values.get(name);
    if (list === undefined) values.set(name, [value]);
    else list.push(value);
  }
  return values;
}
