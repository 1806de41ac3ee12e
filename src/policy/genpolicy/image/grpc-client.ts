/** Calls of gRPC services on a unix socket. Source: gRPC over HTTP/2. */
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { createConnection } from "node:net";
import { KataError } from "../../../kata-error.ts";

/** A status other than OK; `code` of the error is `grpc-status`. */
const NOT_FOUND = "5";
/** Bytes of all messages of one answer. */
const MAX_ANSWER_BYTES = 16 * 1024 ** 3;
const FRAME_HEADER = 5;

export class GrpcClient {
  private readonly path: string;
  private readonly session: ClientHttp2Session;
  private failure: Error | undefined;

  constructor(path: string) {
    this.path = path;
    this.session = connect("http://localhost", { createConnection: () => createConnection(path) });
    this.session.on("error", (error: Error) => {
      this.failure = error;
    });
  }

  /**
   * Sends one message and gathers all that come back.
   *
   * @returns undefined if the status is NOT_FOUND.
   * @throws KataError `grpc-failed` with the status, `grpc-unavailable` if the connection is lost or the deadline passes.
   */
  call(
    method: string,
    message: Uint8Array,
    metadata: Readonly<Record<string, string>>,
    deadlineMs: number,
  ): Promise<Uint8Array[] | undefined> {
    const header = Buffer.alloc(FRAME_HEADER);
    header.writeUInt32BE(message.length, 1);
    return new Promise((resolve, reject) => {
      const fail = (code: string, hint: string) =>
        reject(new KataError(code, { operation: `call ${method}`, object: this.path, hint }));
      const stream = this.session.request({
        ":method": "POST",
        ":path": method,
        "content-type": "application/grpc",
        te: "trailers",
        ...metadata,
      });
      const chunks: Uint8Array[] = [];
      let length = 0;
      let status: string | undefined;
      let reason = "";
      const note = (headers: Readonly<Record<string, unknown>>) => {
        if (headers["grpc-status"] === undefined) return;
        status = String(headers["grpc-status"]);
        reason = decodeURIComponent(String(headers["grpc-message"] ?? ""));
      };
      const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), deadlineMs);
      stream.on("response", note);
      stream.on("trailers", note);
      stream.on("data", (chunk: Uint8Array) => {
        length += chunk.length;
        if (length > MAX_ANSWER_BYTES) stream.close(constants.NGHTTP2_CANCEL);
        else chunks.push(chunk);
      });
      stream.on("error", (error: Error) => {
        this.failure ??= error;
      });
      stream.on("close", () => {
        clearTimeout(timer);
        if (status === "0") resolve(messagesOf(Buffer.concat(chunks)));
        else if (status === NOT_FOUND) resolve(undefined);
        else if (status !== undefined) fail("grpc-failed", `status ${status}: ${reason}`);
        else fail("grpc-unavailable", this.failure?.message ?? "the connection was lost");
      });
      stream.end(Buffer.concat([header, message]));
    });
  }

  close(): void {
    this.session.close();
  }
}

function messagesOf(bytes: Buffer): Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let at = 0; at + FRAME_HEADER <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 1);
    messages.push(bytes.subarray(at + FRAME_HEADER, at + FRAME_HEADER + length));
    at += FRAME_HEADER + length;
  }
  return messages;
}

/** A message of strings and messages by field number. Source: Protocol Buffers, "Encoding". */
export function encodeFields(fields: Readonly<Record<number, string | Uint8Array>>): Uint8Array {
  const parts = Object.entries(fields).flatMap(([number, value]) => {
    const bytes = Buffer.from(value);
    return [varint(Number(number) * 8 + 2), varint(bytes.length), bytes];
  });
  return Buffer.concat(parts);
}

/** Fields of bytes, strings or messages; numbers are passed over. @throws KataError `invalid-message`. */
export function decodeFields(bytes: Uint8Array): Map<number, Uint8Array> {
  const fields = new Map<number, Uint8Array>();
  let at = 0;
  const number = () => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 2 ** 63) throw malformed();
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = number();
    const kind = tag % 8;
    if (kind === 0) {
      number();
    } else if (kind === 2) {
      const length = number();
      if (at + length > bytes.length) throw malformed();
      fields.set(Math.floor(tag / 8), bytes.subarray(at, at + length));
      at += length;
    } else {
      throw malformed();
    }
  }
  return fields;
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Uint8Array.from([...bytes, rest]);
}

function malformed(): KataError {
  return new KataError("invalid-message", { operation: "read answer", object: "protocol buffers message" });
}
