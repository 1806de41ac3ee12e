/**
 * Answers gRPC calls with single requests and answers on a unix socket.
 *
 * Source: gRPC over HTTP/2 (PROTOCOL-HTTP2.md): a message has a flag byte and a length of four bytes before it; the status stands in the
 * trailers.
 */
import { chmodSync, rmSync } from "node:fs";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { describeError } from "../kata-error.ts";
import { statusNumber, statusOf } from "../rpc/status.ts";
import type { CallContext, Service } from "../rpc/types.ts";
import { CancelSource } from "../sys/cancellation.ts";

const FRAME_HEADER_BYTES = 5;
/** Bytes of a request. Source: grpc-go's default. */
const MAX_REQUEST_BYTES = 4 << 20;

export interface GrpcServer {
  /** Ends at once: calls under way are broken off. */
  close(): Promise<void>;
}

/** Listens on `path`, which is removed first if somebody has left it behind. @param warn is told of what fails. */
export async function serveGrpc(
  path: string,
  services: readonly Service[],
  warn: (message: string, fields: Readonly<Record<string, string>>) => void,
): Promise<GrpcServer> {
  const byName = new Map(services.map((service) => [service.name, service]));
  const server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", (error: Error) => warn("connection lost", { error: error.message }));
  });
  server.on("stream", (stream, headers) => {
    stream.on("error", (error: Error) => warn("call broken off", { error: error.message }));
    answer(stream, headers, byName, warn).catch((error: unknown) =>
      warn("call not answered", { error: describeError(error) }),
    );
  });
  rmSync(path, { force: true });
  await listen(server, path);
  chmodSync(path, 0o600);
  return {
    close: () =>
      new Promise((resolve, reject) => {
        for (const session of sessions) session.destroy();
        server.close((error) => (error === undefined ? resolve() : reject(error)));
      }),
  };
}

function listen(server: Http2Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function answer(
  stream: ServerHttp2Stream,
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  services: ReadonlyMap<string, Service>,
  warn: (message: string, fields: Readonly<Record<string, string>>) => void,
): Promise<void> {
  const path = String(headers[":path"] ?? "");
  const [, serviceName = "", methodName = ""] = path.split("/");
  const method = services.get(serviceName)?.methods.get(methodName);
  const request = await readRequest(stream);
  if (request === undefined) return;
  if (typeof request === "string") return end(stream, statusNumber("invalid-argument"), request);
  if (method?.kind !== "unary") return end(stream, statusNumber("unimplemented"), `${path} is not known`);
  const cancel = new CancelSource();
  stream.on("close", () => cancel.cancel(new Error("the caller has gone")));
  const context: CallContext = { signal: cancel.signal, metadata: metadataOf(headers) };
  try {
    const message = await method.handle(request, context);
    end(stream, 0, "", message);
  } catch (error) {
    const { code, message } = statusOf(error);
    warn(path, { error: message });
    end(stream, code, message);
  }
}

/** @returns the request; a text for one that is none; undefined if the caller has gone. */
async function readRequest(stream: ServerHttp2Stream): Promise<Uint8Array | string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_REQUEST_BYTES + FRAME_HEADER_BYTES) {
        // What still comes has to go somewhere for the answer to be heard.
        stream.resume();
        return "the request is too large";
      }
      chunks.push(chunk);
    }
  } catch (error) {
    if (stream.destroyed) return undefined;
    throw error;
  }
  const bytes = Buffer.concat(chunks);
  if (bytes.length < FRAME_HEADER_BYTES || bytes.readUInt32BE(1) !== bytes.length - FRAME_HEADER_BYTES)
    return "one message was expected";
  return bytes[0] === 0 ? bytes.subarray(FRAME_HEADER_BYTES) : "compressed messages are not known";
}

function end(stream: ServerHttp2Stream, status: number, message: string, payload?: Uint8Array): void {
  if (stream.destroyed) return;
  const trailers = {
    "grpc-status": String(status),
    ...(message === "" ? {} : { "grpc-message": encodeURIComponent(message) }),
  };
  if (payload === undefined) {
    stream.respond({ ":status": 200, "content-type": "application/grpc", ...trailers }, { endStream: true });
    return;
  }
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  frame.writeUInt32BE(payload.length, 1);
  frame.set(payload, FRAME_HEADER_BYTES);
  stream.end(frame);
}

function metadataOf(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): ReadonlyMap<string, readonly string[]> {
  return new Map(
    Object.entries(headers).flatMap(([name, value]) =>
      name.startsWith(":") || value === undefined
        ? []
        : [[name, typeof value === "string" ? [value] : value]],
    ),
  );
}
