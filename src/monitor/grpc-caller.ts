/**
 * gRPC over a unix socket, as far as single requests and answers go: what the generated clients call with.
 * Source: gRPC over HTTP/2; the message's frame is a flag byte and a length of four bytes.
 */
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import type { Caller } from "../rpc/types.ts";

const FRAME_HEADER_BYTES = 5;
/** As long as an emulated machine may take to boot on a busy host, and longer, ms. */
const DEFAULT_DEADLINE_MS = 120_000;
/** Longest answer, bytes: gRPC's own default. */
const MAX_ANSWER_BYTES = 16 << 20;

/** A connection; its end is the end of the scope. */
export class GrpcCaller implements Caller, Disposable {
  readonly #session: ClientHttp2Session;
  readonly #metadata: Readonly<Record<string, string>>;
  readonly #deadlineMs: number;

  /** @param metadata sent with every call. @param deadlineMs without any sign of an answer. */
  constructor(
    socket: string,
    metadata: Readonly<Record<string, string>> = {},
    deadlineMs: number = DEFAULT_DEADLINE_MS,
  ) {
    this.#metadata = metadata;
    this.#deadlineMs = deadlineMs;
    this.#session = connectHttp2("http://localhost", { createConnection: () => connect(socket) });
    // Told by the calls that it breaks.
    this.#session.on("error", () => undefined);
  }

  call(service: string, method: string, payload: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        ...this.#metadata,
        ":method": "POST",
        ":path": `/${service}/${method}`,
        "content-type": "application/grpc",
        te: "trailers",
      });
      const chunks: Buffer[] = [];
      let status: { code: string; message: string } | undefined;
      const note = (headers: Readonly<Record<string, unknown>>) => {
        if (headers["grpc-status"] === undefined) return;
        const message = decodeURIComponent(String(headers["grpc-message"] ?? ""));
        status = { code: String(headers["grpc-status"]), message };
      };
      stream.setTimeout(this.#deadlineMs, () => stream.destroy(new Error(`${method}: no answer`)));
      stream.on("response", note);
      stream.on("trailers", note);
      let length = 0;
      stream.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length > MAX_ANSWER_BYTES) stream.destroy(new Error(`${method}: the answer is too long`));
        else chunks.push(chunk);
      });
      stream.on("error", reject);
      stream.on("end", () => {
        if (status?.code !== "0") reject(new Error(`${method}: ${status?.message ?? "connection lost"}`));
        else resolve(Buffer.concat(chunks).subarray(FRAME_HEADER_BYTES));
      });
      const frame = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
      frame.writeUInt32BE(payload.length, 1);
      frame.set(payload, FRAME_HEADER_BYTES);
      stream.end(frame);
    });
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}
