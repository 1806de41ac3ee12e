/**
 * The answering side of a ttrpc connection.
 *
 * Requests run at once, and answers go out as they are ready. The peer is hostile: what it makes the server keep is bounded by
 * {@link MAX_CALLS} and {@link MAX_CALL_BYTES}, and answers to what is no proper request are written before the next frame is read.
 */
import type { KataError } from "../kata-error.ts";
import type { ByteStream } from "../sys/byte-stream.ts";
import type { CancelSignal } from "../sys/cancellation.ts";
import type { Clock } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { FrameFlag, FrameType, oversized, responseFrame } from "./frame.ts";
import { type Frame, FrameParser } from "./frame-parser.ts";
import { decodeRequest, type Request } from "./generated.ts";
import { type CallHost, ServerCall } from "./server-call.ts";
import { closedError, type Status, statusNumber, statusOf } from "./status.ts";
import type { Method, Service } from "./types.ts";

/** Most calls under way on a connection: a pod of a hundred containers has a few hundred that wait for something. */
export const MAX_CALLS = 4096;
/**
 * Most bytes of requests of calls under way and of answers that the peer has not taken, on a connection: eight of the largest.
 * An answer is sent nevertheless; it is the next request that is refused.
 */
export const MAX_CALL_BYTES = 32 << 20;

export interface ServerOptions {
  /** For the deadlines of calls. Default: the event loop. */
  readonly clock?: Clock;
  /**
   * Lets the connection end: when it fires, calls under way may finish, those that still come are refused with `unavailable`,
   * and then the connection is closed.
   */
  readonly stop?: CancelSignal;
  /** The stream outlives its connections. See `lasting-stream.ts`. */
  readonly lasting?: boolean;
  /** Hears of calls that a handler failed. */
  readonly onFailure?: (service: string, method: string, error: unknown) => void;
}

/**
 * Answers the calls of one connection, which it takes over, with `services`.
 *
 * Settles when the connection has ended, by the peer, by `stop`, or by closing `stream`; the signals of calls under way fire then.
 * Never rejects: whatever breaks a connection is its end.
 */
export function serveConnection(
  stream: ByteStream,
  services: readonly Service[],
  options: ServerOptions = {},
): Promise<void> {
  return new ServerConnection(stream, services, options).run();
}

class ServerConnection implements CallHost {
  readonly stream: ByteStream;
  readonly #services: ReadonlyMap<string, Service>;
  readonly #options: ServerOptions;
  readonly clock: Clock;
  readonly #calls = new Map<number, ServerCall>();
  /** Calls whose handlers run, also those that were answered already because their time was up. */
  #running = 0;
  #heldBytes = 0;
  #lastId = 0;

  constructor(stream: ByteStream, services: readonly Service[], options: ServerOptions) {
    this.stream = stream;
    this.#services = new Map(services.map((service) => [service.name, service]));
    this.#options = options;
    this.clock = options.clock ?? loop;
  }

  async run(): Promise<void> {
    const { stop } = this.#options;
    const onStop = () => this.#closeIfStopped();
    stop?.addEventListener("abort", onStop);
    onStop();
    const parser = new FrameParser();
    let cause: unknown;
    try {
      for (;;) {
        const frame = parser.next();
        if (frame !== undefined) {
          const held = this.#take(frame);
          if (held !== undefined) await held;
        } else {
          const count = await this.stream.read(parser.space());
          if (count === 0) break;
          parser.filled(count);
        }
      }
      parser.end();
    } catch (error) {
      cause = error;
    }
    stop?.removeEventListener("abort", onStop);
    this.stream.close();
    this.#abandonCalls(closedError("serve call", cause));
  }

  #abandonCalls(reason: KataError): void {
    for (const call of [...this.#calls.values()]) call.abandon(reason);
  }

  /** Handles one frame. A promise: it has to settle before the next frame is read. */
  #take(frame: Frame): Promise<void> | undefined {
    const { stream: id, type, flags, body } = frame;
    if (type !== FrameType.request && type !== FrameType.data) return undefined;
    if (id % 2 === 0)
      return this.#refuse(id, "invalid-argument", "StreamID must be odd for client initiated streams");
    if (body === undefined) {
      const error = oversized("receive ttrpc message", frame.length);
      this.#calls.get(id)?.abandon(error);
      return this.#send(id, { code: statusNumber("resource-exhausted"), message: error.object });
    }
    if (type === FrameType.request) return this.#request(id, flags, body);
    const call = this.#calls.get(id);
    if (call === undefined || !call.isStream) {
      return this.#refuse(id, "invalid-argument", "StreamID is no longer active");
    }
    return call.take(flags, body);
  }

  #request(id: number, flags: number, body: Uint8Array): Promise<void> | undefined {
    if (id <= this.#lastId) {
      if (this.#options.lasting) this.#abandonCalls(closedError("serve call"));
      else return this.#refuse(id, "invalid-argument", "StreamID cannot be re-used and must increment");
    }
    this.#lastId = id;
    let request: Request;
    try {
      request = decodeRequest(body);
    } catch (error) {
      return this.#send(id, { ...statusOf(error), code: statusNumber("invalid-argument") });
    }
    if (this.#options.stop?.aborted) return this.#refuse(id, "unavailable", "the server is stopping");
    const service = this.#services.get(request.service);
    if (service === undefined) return this.#refuse(id, "unimplemented", `service ${request.service}`);
    const method = service.methods.get(request.method);
    if (method === undefined) return this.#refuse(id, "unimplemented", `method ${request.method}`);
    if (request.timeoutNano < 0n) return this.#refuse(id, "deadline-exceeded", "timeout");
    if (this.#running >= MAX_CALLS || this.#heldBytes + body.length > MAX_CALL_BYTES) {
      return this.#refuse(id, "resource-exhausted", "too many calls are under way on this connection");
    }
    this.#start(id, flags, request, method, body.length);
    return undefined;
  }

  #start(id: number, flags: number, request: Request, method: Method, bytes: number): void {
    // A caller that says nothing of data to come sends none.
    const sendsMore = (flags & FrameFlag.remoteOpen) !== 0 && (flags & FrameFlag.remoteClosed) === 0;
    const call = new ServerCall(this, id, request, method, sendsMore);
    this.#calls.set(id, call);
    this.#running++;
    this.#heldBytes += bytes;
    call.run(bytes);
  }

  forget(id: number): void {
    this.#calls.delete(id);
  }

  hold(bytes: number): void {
    this.#heldBytes += bytes;
  }

  handlerEnded(bytes: number): void {
    this.#running--;
    this.#heldBytes -= bytes;
    this.#closeIfStopped();
  }

  handlerFailed(request: Request, error: unknown): void {
    this.#options.onFailure?.(request.service, request.method, error);
  }

  #closeIfStopped(): void {
    if (this.#options.stop?.aborted && this.#running === 0) this.stream.close();
  }

  #refuse(id: number, code: Parameters<typeof statusNumber>[0], message: string): Promise<void> {
    return this.#send(id, { code: statusNumber(code), message });
  }

  async #send(id: number, status: Status): Promise<void> {
    await this.stream.write(responseFrame(id, { status }));
  }
}
