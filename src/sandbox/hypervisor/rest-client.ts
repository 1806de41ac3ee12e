/**
 * A client of a monitor that is told what to do over HTTP on a unix socket: Cloud Hypervisor, Firecracker.
 *
 * One connection, kept open; one request at a time, the others wait for their turn. Every request has a deadline. A
 * connection that ends, or an answer that is none, fails everything that waits with `unavailable`.
 *
 * ```
 *      ←  PUT /api/v1/vm.boot HTTP/1.1 ⏎ Host: localhost ⏎ … ⏎ ⏎ body
 * VMM →   HTTP/1.1 204 ⏎ Connection: keep-alive ⏎ ⏎
 * ```
 *
 * Source: RFC 9112, as far as those monitors go: an answer's body has a Content-Length or there is none.
 */
import { describeError, hasCode, KataError } from "../../kata-error.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { type Clock, withDeadline } from "../../sys/clock.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";

/** A connection that can carry descriptors. */
export interface RestStream extends ByteStream {
  /** Sends all of `bytes` with copies of `descriptors` attached to the first byte. */
  writeWithDescriptors(bytes: Uint8Array, descriptors: readonly number[]): Promise<void>;
}

export type RestMethod = "GET" | "PUT" | "PATCH";

export interface RestRequest {
  readonly method: RestMethod;
  /** `/api/v1/vm.boot` */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: object;
  /** Sent along with the request's first byte. */
  readonly descriptors?: readonly number[];
  readonly deadlineMs?: number;
}

export interface RestAnswer {
  /** 200, 204, … */
  readonly status: number;
  /** What came as JSON; undefined without a body. */
  readonly value: unknown;
}

/** A head of this size is not a monitor's. */
const MAX_HEAD_BYTES = 16 << 10;
/** `vm.info` of a machine with all its devices has some ten KiB. */
const MAX_BODY_BYTES = 4 << 20;
const READ_BYTES = 16 << 10;
/** Monitors answer within milliseconds; taking a device up, or a busy host, takes them seconds. */
const REQUEST_DEADLINE_MS = 10_000;
/** These say more than that the connection is of no use any more. */
const TOLD_AS_THEY_ARE = ["deadline-exceeded", "malformed-message", "oversized-message"];
/** Of a refusal's words in an error message. */
const MAX_SHOWN = 500;

export class RestClient {
  readonly #monitor: string;
  readonly #stream: RestStream;
  readonly #clock: Clock;
  readonly #chunk = new Uint8Array(READ_BYTES);
  /** Came with an answer, and belongs to the next. */
  #rest: Uint8Array = new Uint8Array(0);
  #turn: Promise<unknown> = Promise.resolve();
  #failure: KataError | undefined;

  /**
   * @param monitor its name, for messages.
   * @param stream connected; the client's from now on.
   */
  constructor(monitor: string, stream: RestStream, clock: Clock) {
    this.#monitor = monitor;
    this.#stream = stream;
    this.#clock = clock;
  }

  /**
   * Sends `request` and waits for its answer.
   *
   * @throws KataError `hypervisor-error` with the monitor's own words for an answer above 299, `not-found` for 404,
   * `resource-exhausted` for 429 (busy, to be tried again); `unavailable` without a connection, `deadline-exceeded`.
   */
  request(request: RestRequest): Promise<RestAnswer> {
    const answer = this.#turn.then(() => this.#exchange(request));
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  /** Ends the connection. Any number of calls. */
  close(): void {
    this.#fail(new KataError("closed", { operation: `use ${this.#monitor}'s API`, object: "it is closed" }));
  }

  async #exchange(request: RestRequest): Promise<RestAnswer> {
    if (this.#failure !== undefined) throw this.#failure;
    const { method, path, body, descriptors = [], deadlineMs = REQUEST_DEADLINE_MS } = request;
    const what = { operation: this.#monitor, object: `${method} ${path}` };
    let answer: { readonly status: number; readonly text: string };
    try {
      const bytes = formatRequest(method, path, body);
      const exchange = async () => {
        if (descriptors.length > 0) await this.#stream.writeWithDescriptors(bytes, descriptors);
        else await this.#stream.write(bytes);
        return await this.#readAnswer();
      };
      answer = await withDeadline(this.#clock, deadlineMs, what, exchange());
    } catch (error) {
      // What would still come cannot be told from the next answer.
      throw this.#fail(hasCode(error, ...TOLD_AS_THEY_ARE) ? error : this.#broken(error));
    }
    if (answer.status >= 300) throw refusal(what, answer.status, answer.text);
    return { status: answer.status, value: answer.text === "" ? undefined : this.#parse(what, answer.text) };
  }

  #parse(what: { readonly operation: string; readonly object: string }, text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw this.#fail(new KataError("malformed-message", { ...what, hint: "its answer is no JSON", cause }));
    }
  }

  async #readAnswer(): Promise<{ readonly status: number; readonly text: string }> {
    for (;;) {
      const head = await this.#readHead();
      // 100 Continue and its kind come before the answer.
      if (head.status < 200) continue;
      return { status: head.status, text: utf8Decode(await this.#readBytes(head.length)) };
    }
  }

  async #readHead(): Promise<Head> {
    let bytes = this.#rest;
    for (;;) {
      const end = endOfHead(bytes);
      if (end >= 0) {
        this.#rest = bytes.slice(end);
        return parseHead(utf8Decode(bytes.subarray(0, end)));
      }
      if (bytes.length > MAX_HEAD_BYTES) {
        throw new KataError("oversized-message", {
          operation: "read answer",
          object: `a head of more than ${MAX_HEAD_BYTES} bytes`,
        });
      }
      bytes = concatenate(bytes, await this.#readChunk());
    }
  }

  async #readBytes(length: number): Promise<Uint8Array> {
    const body = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      if (this.#rest.length === 0) this.#rest = await this.#readChunk();
      const part = this.#rest.subarray(0, length - filled);
      body.set(part, filled);
      filled += part.length;
      this.#rest = this.#rest.slice(part.length);
    }
    return body;
  }

  async #readChunk(): Promise<Uint8Array> {
    const count = await this.#stream.read(this.#chunk);
    if (count > 0) return this.#chunk.slice(0, count);
    throw new KataError("unavailable", { operation: "read answer", object: "the connection has ended" });
  }

  #broken(cause: unknown): KataError {
    if (this.#failure !== undefined) return this.#failure;
    const operation = `talk to ${this.#monitor}`;
    return new KataError("unavailable", { operation, object: describeError(cause), cause });
  }

  #fail(error: KataError): KataError {
    this.#failure ??= error;
    this.#stream.close();
    return error;
  }
}

function formatRequest(method: RestMethod, path: string, body: object | undefined): Uint8Array {
  const content = body === undefined ? "" : JSON.stringify(body);
  const bytes = utf8Encode(content);
  const about = content === "" ? "" : "Content-Type: application/json\r\n";
  const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n${about}Content-Length: ${bytes.length}\r\n\r\n`;
  return concatenate(utf8Encode(head), bytes);
}

interface Head {
  readonly status: number;
  /** Of the body, bytes. */
  readonly length: number;
}

function parseHead(text: string): Head {
  const [first = "", ...fields] = text.split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1] ?? Number.NaN);
  if (Number.isNaN(status)) throw malformed(first);
  const values = (name: string) =>
    fields
      .filter((field) => field.toLowerCase().startsWith(`${name}:`))
      .map((field) => field.slice(name.length + 1).trim());
  if (values("transfer-encoding").length > 0) throw malformed("a body in chunks");
  const lengths = new Set(values("content-length"));
  const [length = "0"] = lengths;
  if (lengths.size > 1 || !/^\d{1,9}$/.test(length))
    throw malformed(`Content-Length ${[...lengths].join(", ")}`);
  if (Number(length) > MAX_BODY_BYTES) {
    throw new KataError("oversized-message", {
      operation: "read answer",
      object: `a body of ${length} bytes`,
    });
  }
  // RFC 9110, 6.4.1: these have none, whatever the head says.
  return { status, length: status < 200 || status === 204 || status === 304 ? 0 : Number(length) };
}

function malformed(what: string): KataError {
  return new KataError("malformed-message", { operation: "read answer", object: what.slice(0, MAX_SHOWN) });
}

const ERROR_CODES: Readonly<Record<number, string>> = { 404: "not-found", 429: "resource-exhausted" };

function refusal(
  what: { readonly operation: string; readonly object: string },
  status: number,
  text: string,
): KataError {
  const words = sentenceOf(text)
    .replace(/[\0-\x1f\x7f]+/g, " ")
    .trim()
    .slice(0, MAX_SHOWN);
  return new KataError(ERROR_CODES[status] ?? "hypervisor-error", {
    operation: what.operation,
    object: `${what.object}: ${status}${words === "" ? "" : ` ${words}`}`,
  });
}

/** Firecracker puts its sentence into an object. */
function sentenceOf(text: string): string {
  return /^\s*\{"fault_message":\s*("(?:[^"\\]|\\.)*")\s*\}\s*$/.exec(text)?.[1] ?? text;
}

/** Behind the empty line that ends a head; -1 without one. */
function endOfHead(bytes: Uint8Array): number {
  for (let at = bytes.indexOf(13); at >= 0; at = bytes.indexOf(13, at + 1)) {
    if (bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at + 4;
  }
  return -1;
}

function concatenate(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
