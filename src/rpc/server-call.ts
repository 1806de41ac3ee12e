/** A call that a server answers: its context, its messages, its one end. */
import { KataError } from "../kata-error.ts";
import type { ByteStream } from "../sys/byte-stream.ts";
import { type CancelSignal, CancelSource } from "../sys/cancellation.ts";
import type { Clock, Timer } from "../sys/clock.ts";
import { dataFrame, FrameFlag, responseFrame } from "./frame.ts";
import type { Request } from "./generated.ts";
import { MessageQueue } from "./message-queue.ts";
import { statusOf } from "./status.ts";
import type { CallContext, Method, ServerStream } from "./types.ts";

export interface ServerCallInit {
  readonly id: number;
  readonly request: Request;
  readonly method: Method;
  /** The caller has said that data follows the request. */
  readonly sendsMore: boolean;
  readonly stream: ByteStream;
  readonly clock: Clock;
  /** Runs when the call is answered or abandoned: frames for it are of no use any more. */
  readonly onEnd: () => void;
}

const NO_METADATA: ReadonlyMap<string, readonly string[]> = new Map();

export class ServerCall implements CallContext {
  readonly metadata: ReadonlyMap<string, readonly string[]>;
  readonly timeoutMs: number | undefined;
  readonly #init: ServerCallInit;
  readonly #queue: MessageQueue | undefined;
  readonly #timer: Timer | undefined;
  /** Made when it is asked for: most handlers do not wait. */
  #source: CancelSource | undefined;
  #end: { readonly reason: unknown } | undefined;

  constructor(init: ServerCallInit) {
    const { request, method, clock } = init;
    this.#init = init;
    this.metadata = toMap(request);
    if (request.timeoutNano > 0n) {
      const timeoutMs = Number(request.timeoutNano) / 1e6;
      this.timeoutMs = timeoutMs;
      this.#timer = clock.after(timeoutMs, () => this.#timeOut());
    }
    if (method.kind === "stream") {
      this.#queue = new MessageQueue();
      if (method.shape === "server" || request.payload.length > 0) this.#queue.push(request.payload, clock);
      if (!init.sendsMore) this.#queue.end();
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

  /** Runs the handler and sends its answer. Rejects with the handler's error, which is for {@link answerError}. */
  async run(): Promise<void> {
    const { id, request, method, stream } = this.#init;
    if (method.kind === "unary") {
      const payload = await method.handle(request.payload, this);
      if (this.#end !== undefined) return;
      const frame = responseFrame(id, { payload });
      this.#finish();
      await this.#write(frame);
      return;
    }
    const payload = await method.handle(this.#messages(stream), this);
    if (this.#end !== undefined) return;
    const frame =
      payload === undefined
        ? dataFrame(id, FrameFlag.remoteClosed | FrameFlag.noData, new Uint8Array(0))
        : responseFrame(id, { payload });
    this.#finish();
    await this.#write(frame);
  }

  /** Tells the caller of an error, unless the call has ended already. */
  async answerError(error: unknown): Promise<void> {
    if (this.#end !== undefined) return;
    this.#finish(error);
    await this.#write(responseFrame(this.#init.id, { status: statusOf(error) }));
  }

  /** Handles a data frame of a stream. A promise: the connection should wait for it before it reads on. */
  async take(flags: number, body: Uint8Array): Promise<void> {
    const queue = this.#queue;
    if (queue === undefined) return;
    const isMessage = (flags & FrameFlag.noData) === 0;
    const closes = (flags & FrameFlag.remoteClosed) !== 0;
    if (queue.ended) {
      if (isMessage) await this.#failStream("invalid-argument", "data handling error: ttrpc: stream closed");
      return;
    }
    const room = isMessage ? queue.push(body, this.#init.clock) : undefined;
    if (closes) queue.end();
    else if (room !== undefined && !(await room)) {
      await this.#failStream("resource-exhausted", "data handling error: stream buffer full");
    }
  }

  /** Ends the call without an answer: the connection is gone, or its answer is sent already. */
  abandon(reason: unknown): void {
    if (this.#end !== undefined) return;
    this.#finish(reason);
    this.#source?.cancel(reason);
    this.#queue?.abort(reason);
  }

  #messages(stream: ByteStream): ServerStream<Uint8Array, Uint8Array> {
    const { id } = this.#init;
    const queue = this.#queue ?? new MessageQueue();
    return {
      receive: () => queue.pull(),
      send: async (message) => {
        if (this.#end !== undefined) throw this.#end.reason;
        await stream.write(dataFrame(id, 0, message));
      },
    };
  }

  async #failStream(code: string, object: string): Promise<void> {
    const error = new KataError(code, { operation: "receive", object });
    const frame = responseFrame(this.#init.id, { status: { ...statusOf(error), message: object } });
    this.abandon(error);
    await this.#write(frame);
  }

  #timeOut(): void {
    const { id, request } = this.#init;
    const error = new KataError("deadline-exceeded", {
      operation: `serve ${request.service}/${request.method}`,
      object: `not done within ${this.timeoutMs} ms`,
    });
    this.abandon(error);
    void this.#write(responseFrame(id, { status: { ...statusOf(error), message: "timeout" } }));
  }

  #finish(
    reason: unknown = new KataError("cancelled", { operation: "serve call", object: "it is answered" }),
  ): void {
    this.#end = { reason };
    this.#timer?.cancel();
    this.#init.onEnd();
  }

  /** A caller that is gone is no failure of the call; the connection's reader sees its end. */
  async #write(frame: Uint8Array): Promise<void> {
    try {
      await this.#init.stream.write(frame);
    } catch (error) {
      this.#source?.cancel(error);
      this.#init.stream.close();
    }
  }
}

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
