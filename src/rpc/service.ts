/** What generated clients and services share. */
import type {
  CallContext,
  Caller,
  CallOptions,
  ClientStream,
  Method,
  ServerStream,
  StreamCaller,
} from "./types.ts";

type Encode<T> = (message: T) => Uint8Array;
type Decode<T> = (bytes: Uint8Array) => T;

export function unaryCall<Request, Response>(
  caller: Caller,
  service: string,
  method: string,
  encode: Encode<Request>,
  decode: Decode<Response>,
): (request: Request, options?: CallOptions) => Promise<Response> {
  // Promises cost the engine more than anything else of a call: then() needs fewer than await.
  return (request, options) => {
    let payload: Uint8Array;
    try {
      payload = encode(request);
    } catch (error) {
      return Promise.reject(error);
    }
    return caller.call(service, method, payload, options).then(decode);
  };
}

export function streamCall<Out, In>(
  caller: StreamCaller,
  service: string,
  method: string,
  encode: Encode<Out>,
  decode: Decode<In>,
): (options?: CallOptions) => ClientStream<Out, In> {
  return (options) => {
    const stream = caller.openStream(service, method, "both", undefined, options);
    return {
      send: (message) => stream.send(encode(message)),
      closeSend: () => stream.closeSend(),
      cancel: () => stream.cancel(),
      async receive() {
        const bytes = await stream.receive();
        return bytes === undefined ? undefined : decode(bytes);
      },
    };
  };
}

/** Adds a method to `methods`, if it has a handler. */
export function unaryMethod<Request, Response>(
  methods: Map<string, Method>,
  name: string,
  decode: Decode<Request>,
  encode: Encode<Response>,
  handler: ((request: Request, context: CallContext) => Promise<Response>) | undefined,
): void {
  if (handler === undefined) return;
  methods.set(name, {
    kind: "unary",
    handle: (payload, context) => handler(decode(payload), context).then(encode),
  });
}

/** Adds a method with streams in both directions to `methods`, if it has a handler. */
export function streamMethod<In, Out>(
  methods: Map<string, Method>,
  name: string,
  decode: Decode<In>,
  encode: Encode<Out>,
  handler: ((stream: ServerStream<In, Out>, context: CallContext) => Promise<void>) | undefined,
): void {
  if (handler === undefined) return;
  methods.set(name, {
    kind: "stream",
    shape: "both",
    async handle(stream, context) {
      const typed: ServerStream<In, Out> = {
        send: (message) => stream.send(encode(message)),
        async receive() {
          const bytes = await stream.receive();
          return bytes === undefined ? undefined : decode(bytes);
        },
      };
      await handler(typed, context);
      return undefined;
    },
  });
}
