/** What a call is: for its caller, for its handler, and between both the bytes of its messages. */
import type { CancelSignal } from "../sys/cancellation.ts";

export interface CallOptions {
  /**
   * How long the answer may take, milliseconds above 0; the server is told, too. Absent: for ever.
   * Afterwards the call fails with `deadline-exceeded`.
   */
  readonly timeoutMs?: number | undefined;
  /** Gives the call up: it fails with the signal's reason. The protocol has no way to tell the server. */
  readonly signal?: CancelSignal | undefined;
  /** Sent with the request; names in lower case. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

export interface CallContext {
  /** Fires when the connection ends, the caller's time is up or the server stops: nobody hears the answer any more. */
  readonly signal: CancelSignal;
  /** What came with the request; names in lower case, the values of a name in their order. */
  readonly metadata: ReadonlyMap<string, readonly string[]>;
  /** How long the caller waits, milliseconds; absent: for ever. */
  readonly timeoutMs?: number | undefined;
}

export interface Caller {
  /**
   * Calls `method` of `service` with a request in bytes. @returns the response in bytes, which nobody else uses.
   *
   * @throws KataError with the status the server answered (`not-found`, …; see `status.ts`); `unavailable` if the connection
   *   is or gets closed; `deadline-exceeded`; `resource-exhausted` if the request or response is too large.
   */
  call(service: string, method: string, payload: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
}

/** Which side sends a stream of messages; the other one sends a single one. */
export type StreamShape = "client" | "server" | "both";

/** The caller's end of a stream of messages. */
export interface ClientStream<Out, In> {
  /** Sends one message. Wait for it before the next one, or they pile up in memory. @throws KataError like a call. */
  send(message: Out): Promise<void>;
  /** Tells the server that no more messages come. */
  closeSend(): Promise<void>;
  /** The next message, undefined at the end of the stream. One at a time. @throws KataError like a call. */
  receive(): Promise<In | undefined>;
  /** Gives the stream up. The protocol has no way to tell the server; what it still sends is dropped. */
  cancel(): void;
}

/** The handler's end of a stream of messages. */
export interface ServerStream<In, Out> {
  /** The next message, undefined if the caller sends no more. One at a time. @throws the reason of the call's signal. */
  receive(): Promise<In | undefined>;
  /** Sends one message. Wait for it before the next one, or they pile up in memory. */
  send(message: Out): Promise<void>;
}

export interface StreamCaller extends Caller {
  /**
   * Opens a stream. It fails at its first use if it cannot be opened.
   *
   * @param request the caller's single message, if the shape is `server`.
   */
  openStream(
    service: string,
    method: string,
    shape: StreamShape,
    request?: Uint8Array,
    options?: CallOptions,
  ): ClientStream<Uint8Array, Uint8Array>;
}

export interface UnaryMethod {
  readonly kind: "unary";
  handle(request: Uint8Array, context: CallContext): Promise<Uint8Array>;
}

export interface StreamMethod {
  readonly kind: "stream";
  readonly shape: StreamShape;
  /** @returns the handler's single message if the shape is `client`, otherwise undefined. */
  handle(stream: ServerStream<Uint8Array, Uint8Array>, context: CallContext): Promise<Uint8Array | undefined>;
}

export type Method = UnaryMethod | StreamMethod;

export interface Service {
  /** The full name: `grpc.AgentService`. */
  readonly name: string;
  readonly methods: ReadonlyMap<string, Method>;
}
