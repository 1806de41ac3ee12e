/** Calls that are under way: what their callers get for the frames that come. */
import { KataError } from "../kata-error.ts";
import type { CancelSignal } from "../sys/cancellation.ts";
import type { Clock, Timer } from "../sys/clock.ts";
import { tracePhase } from "../sys/trace.ts";
import { FrameFlag, FrameType, oversized } from "./frame.ts";
import type { Frame } from "./frame-parser.ts";
import { decodeResponse } from "./generated.ts";
import { MessageQueue } from "./message-queue.ts";
import { errorOf } from "./status.ts";
import type { StreamShape } from "./types.ts";

/** Where calls under way are found by their ids. */
export type CallTable = Map<number, ClientCall>;

export abstract class ClientCall {
  readonly service: string;
  readonly method: string;
  #table: CallTable | undefined;
  #id = 0;
  #timer: Timer | undefined;
  #signal: CancelSignal | undefined;
  #onAbort: (() => void) | undefined;
  #ended = false;
  readonly #endPhase: () => void;

  constructor(service: string, method: string) {
    this.service = service;
    this.method = method;
    this.#endPhase = tracePhase("agent", method);
  }

  /** For messages. */
  get operation(): string {
    return `call ${this.service}/${this.method}`;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Enters the call into `table` until it ends. */
  begin(table: CallTable, id: number): void {
    this.#table = table;
    this.#id = id;
    table.set(id, this);
  }

  /** Fails the call after `timeoutMs`. */
  endAfter(clock: Clock, timeoutMs: number): void {
    this.#timer = clock.after(timeoutMs, () => {
      this.fail(tooLate(this.operation, timeoutMs));
    });
  }

  /** Fails the call when `signal` fires. */
  endOn(signal: CancelSignal): void {
    this.#signal = signal;
    this.#onAbort = () => this.fail(signal.reason);
    signal.addEventListener("abort", this.#onAbort);
  }

  /** Handles a frame of this call. A promise: the connection should wait for it before it reads on. */
  abstract take(frame: Frame): Promise<void> | undefined;

  /** Ends the call with an error; no effect after its end. */
  abstract fail(error: unknown): void;

  /** Gives back what the call holds. @returns false if it has ended before. */
  protected finish(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#endPhase();
    this.#table?.delete(this.#id);
    this.#timer?.cancel();
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener("abort", this.#onAbort);
    return true;
  }

  /** The message in a response. @throws KataError with the status that the server answered. */
  protected payloadOf(frame: Frame): Uint8Array {
    if (frame.body === undefined) throw oversized(this.operation, frame.length);
    if (frame.type !== FrameType.response) {
      throw new KataError("internal", {
        operation: this.operation,
        object: `a frame of type ${frame.type} came instead of a response`,
      });
    }
    const { status, payload } = decodeResponse(frame.body);
    if (status !== undefined && status.code !== 0) throw errorOf(status, this.operation);
    return payload;
  }
}

export class UnaryCall extends ClientCall {
  readonly #resolve: (payload: Uint8Array) => void;
  readonly #reject: (error: unknown) => void;

  constructor(
    service: string,
    method: string,
    resolve: (payload: Uint8Array) => void,
    reject: (error: unknown) => void,
  ) {
    super(service, method);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  override take(frame: Frame): undefined {
    try {
      const payload = this.payloadOf(frame);
      if (this.finish()) this.#resolve(payload);
    } catch (error) {
      this.fail(error);
    }
  }

  override fail(error: unknown): void {
    if (this.finish()) this.#reject(error);
  }
}

export class StreamCall extends ClientCall {
  readonly queue = new MessageQueue();
  readonly #shape: StreamShape;
  readonly #clock: Clock;
  #failure: unknown;

  constructor(service: string, method: string, shape: StreamShape, clock: Clock) {
    super(service, method);
    this.#shape = shape;
    this.#clock = clock;
  }

  /** Why it ended, undefined if it did not fail. */
  get failure(): unknown {
    return this.#failure;
  }

  override async take(frame: Frame): Promise<void> {
    try {
      if (frame.type !== FrameType.data) {
        const payload = this.payloadOf(frame);
        // Only a single answer comes in a response; a stream of them ends with one if it failed.
        if (this.#shape === "client" || payload.length > 0) this.queue.push(payload, this.#clock);
        this.#end();
        return;
      }
      if (frame.body === undefined) throw oversized(this.operation, frame.length);
      const isMessage = (frame.flags & FrameFlag.noData) === 0;
      const room = isMessage ? this.queue.push(frame.body, this.#clock) : undefined;
      if ((frame.flags & FrameFlag.remoteClosed) !== 0) this.#end();
      else if (room !== undefined && !(await room)) {
        throw new KataError("resource-exhausted", {
          operation: this.operation,
          object: "stream buffer full",
        });
      }
    } catch (error) {
      if (!this.finish()) return;
      this.#failure = error;
      // What came before is read first.
      this.queue.end(error);
    }
  }

  override fail(error: unknown): void {
    if (!this.finish()) return;
    this.#failure = error;
    this.queue.abort(error);
  }

  #end(): void {
    if (this.finish()) this.queue.end();
  }
}

export function tooLate(operation: string, timeoutMs: number): KataError {
  return new KataError("deadline-exceeded", { operation, object: `no answer within ${timeoutMs} ms` });
}
