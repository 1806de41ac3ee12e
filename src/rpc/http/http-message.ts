/**
 * HTTP/1.1 messages, as much of them as a management socket needs: one request and one answer a connection, bodies whose length is
 * told beforehand.
 *
 * ```
 * METHOD SP target SP HTTP/1.1 CRLF  (name: value CRLF)*  CRLF  body
 * HTTP/1.1 SP status SP reason CRLF  (name: value CRLF)*  CRLF  body
 * ```
 *
 * Source: RFC 9112.
 */
import { KataError } from "../../kata-error.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";

/** Longest start line with all header fields, bytes. */
export const MAX_HEAD_BYTES = 16 << 10;
/** Most header fields of a message. */
const MAX_FIELDS = 64;
/** Longest body, bytes: what the agent takes in one message. */
export const MAX_BODY_BYTES = 4 << 20;
const READ_BYTES = 16 << 10;

export interface HttpMessage {
  readonly startLine: string;
  /** By their names in lower case. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

export interface HttpRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

export interface HttpResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array;
}

/**
 * Reads one message.
 *
 * @param untilEnd whether a body without a length goes on to the end of the stream, as an answer's does.
 * @throws KataError `malformed-message` for what is none, or larger than the bounds; `unimplemented` for a chunked request.
 */
export async function readHttpMessage(stream: ByteStream, untilEnd: boolean): Promise<HttpMessage> {
  let bytes = new Uint8Array(0);
  let headEnd = -1;
  while (headEnd < 0) {
    if (bytes.length > MAX_HEAD_BYTES) throw malformed(`more than ${MAX_HEAD_BYTES} bytes of header fields`);
    const next = await readSome(stream);
    if (next.length === 0) throw malformed("it ends before its header fields do");
    bytes = joined(bytes, next);
    headEnd = endOfHead(bytes);
  }
  const { startLine, fields } = parseHead(utf8Decode(bytes.subarray(0, headEnd)));
  let body: Uint8Array<ArrayBuffer> = bytes.slice(headEnd + 4);
  // What follows is no body, but the other protocol.
  if (/^HTTP\/1\.1 101 /.test(startLine)) return { startLine, fields, body };
  if (fields.has("transfer-encoding")) {
    throw new KataError("unimplemented", {
      operation: "read HTTP message",
      object: "a body in chunks",
      hint: "send it with its content-length",
    });
  }
  const length = bodyLength(fields.get("content-length"), untilEnd);
  while (body.length < length) {
    const next = await readSome(stream);
    if (next.length === 0) {
      if (length !== Number.POSITIVE_INFINITY) throw malformed("it ends before its body does");
      break;
    }
    if (body.length + next.length > MAX_BODY_BYTES) throw tooLong();
    body = joined(body, next);
  }
  if (body.length > length) body = body.slice(0, length);
  return { startLine, fields, body };
}

/** @throws KataError `malformed-message`. */
export function parseRequest({ startLine, body }: HttpMessage): HttpRequest {
  const [, method, target] = /^([A-Z]{1,16}) (\/\S*) HTTP\/1\.[01]$/.exec(startLine) ?? [];
  if (method === undefined || target === undefined) throw malformed(JSON.stringify(startLine.slice(0, 200)));
  const at = target.indexOf("?");
  const path = at < 0 ? target : target.slice(0, at);
  const query = new Map<string, string>();
  for (const pair of at < 0 ? [] : target.slice(at + 1).split("&")) {
    const equals = pair.indexOf("=");
    if (equals > 0) query.set(decode(pair.slice(0, equals)), decode(pair.slice(equals + 1)));
  }
  return { method, path, query, body };
}

/** @throws KataError `malformed-message`. */
export function parseResponse({ startLine, fields, body }: HttpMessage): HttpResponse {
  const [, status] = /^HTTP\/1\.[01] (\d{3})(?: .*)?$/.exec(startLine) ?? [];
  if (status === undefined) throw malformed(JSON.stringify(startLine.slice(0, 200)));
  return { status: Number(status), contentType: fields.get("content-type") ?? "", body };
}

export function encodeRequest(method: string, target: string, body: Uint8Array): Uint8Array {
  const head = `${method} ${target} HTTP/1.1\r\nHost: shim\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`;
  return joined(utf8Encode(head), body);
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  413: "Content Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
};

export function encodeResponse({ status, contentType, body }: HttpResponse): Uint8Array {
  const head = [
    `HTTP/1.1 ${status} ${REASONS[status] ?? "Unknown"}`,
    `Content-Type: ${contentType}`,
    `Content-Length: ${body.length}`,
    "Connection: close",
  ];
  return joined(utf8Encode(`${head.join("\r\n")}\r\n\r\n`), body);
}

/** The answer after which the connection speaks `protocol`. */
export function encodeSwitch(protocol: string): Uint8Array {
  return utf8Encode(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`,
  );
}

async function readSome(stream: ByteStream): Promise<Uint8Array> {
  const bytes = new Uint8Array(READ_BYTES);
  return bytes.subarray(0, await stream.read(bytes));
}

/** Where the empty line begins, −1 if it is not there yet. */
export function endOfHead(bytes: Uint8Array): number {
  for (let at = bytes.indexOf(13); at >= 0 && at + 3 < bytes.length; at = bytes.indexOf(13, at + 1)) {
    if (bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at;
  }
  return -1;
}

/** @param text up to the empty line. @throws KataError `malformed-message`. */
export function parseHead(text: string): {
  readonly startLine: string;
  readonly fields: ReadonlyMap<string, string>;
} {
  const [startLine = "", ...lines] = text.split("\r\n");
  if (lines.length > MAX_FIELDS) throw malformed(`${lines.length} header fields`);
  const fields = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = /^([\w!#$%&'*+.^`|~-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw malformed(JSON.stringify(line.slice(0, 200)));
    const key = name.toLowerCase();
    // Two lengths are how one message is made to look like two.
    if (key === "content-length" && fields.has(key)) throw malformed("two content-length fields");
    fields.set(key, value);
  }
  return { startLine, fields };
}

function bodyLength(text: string | undefined, untilEnd: boolean): number {
  if (text === undefined) return untilEnd ? Number.POSITIVE_INFINITY : 0;
  if (!/^\d{1,10}$/.test(text)) throw malformed(`content-length ${JSON.stringify(text.slice(0, 40))}`);
  if (Number(text) > MAX_BODY_BYTES) throw tooLong();
  return Number(text);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    throw malformed(`percent signs in ${JSON.stringify(text.slice(0, 200))}`);
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

function tooLong(): KataError {
  return new KataError("out-of-range", {
    operation: "read HTTP message",
    object: `a body of more than ${MAX_BODY_BYTES} bytes`,
  });
}

function malformed(object: string): KataError {
  return new KataError("malformed-message", { operation: "read HTTP message", object });
}
