/** The server's side of a connection over which a monitor is told what to do: requests with the descriptors that came with them. */
import type { FileDescriptor } from "../../src/sys/descriptor.ts";
import type { FdStream } from "../../src/sys/fd-stream.ts";
import { receiveWithDescriptors } from "../../src/sys/socket.ts";
import { utf8Decode, utf8Encode } from "../../src/sys/utf8.ts";

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  /** The receiver closes them. */
  readonly descriptors: readonly FileDescriptor[];
}

export interface HttpAnswer {
  readonly status: number;
  readonly body?: string;
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  204: "",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  500: "Internal Server Error",
};

/** Answers each request of a connection until it ends. @param server its name. @throws Error for what is no request. */
export async function serveHttp(
  stream: FdStream,
  server: string,
  answer: (request: HttpRequest) => Promise<HttpAnswer>,
): Promise<void> {
  const chunk = new Uint8Array(64 << 10);
  let bytes = new Uint8Array(0);
  let descriptors: FileDescriptor[] = [];
  for (;;) {
    const request = parseRequest(bytes);
    if (request !== undefined) {
      bytes = bytes.slice(request.length);
      const { status, body = "" } = await answer({ ...request, descriptors });
      descriptors = [];
      const about =
        body === "" ? "" : `Content-Type: application/json\r\nContent-Length: ${utf8Encode(body).length}\r\n`;
      await stream.write(
        utf8Encode(
          `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\nServer: ${server}\r\nConnection: keep-alive\r\n${about}\r\n${body}`,
        ),
      );
      continue;
    }
    const received = await receiveWithDescriptors(stream, chunk);
    if (received.count === 0) return;
    descriptors.push(...received.descriptors);
    const joined = new Uint8Array(bytes.length + received.count);
    joined.set(bytes);
    joined.set(chunk.subarray(0, received.count), bytes.length);
    bytes = joined;
  }
}

function parseRequest(
  bytes: Uint8Array,
): { method: string; path: string; body: string; length: number } | undefined {
  const text = utf8Decode(bytes);
  // A head is ASCII: as many characters as bytes.
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [first = "", ...fields] = text.slice(0, end).split("\r\n");
  const [, method = "", path = ""] = /^([A-Z]+) (\/\S*) HTTP\/1\.1$/.exec(first) ?? [];
  if (method === "") throw new Error(`no request: ${JSON.stringify(first)}`);
  if (!fields.some((field) => /^host: \S+$/i.test(field))) throw new Error("a request without a host");
  const lengths = fields.flatMap((field) => /^content-length: (\d+)$/i.exec(field)?.[1] ?? []);
  const length = end + 4 + Number(lengths[0] ?? 0);
  if (bytes.length < length) return undefined;
  return { method, path, body: utf8Decode(bytes.subarray(end + 4, length)), length };
}
