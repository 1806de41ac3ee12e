/**
 * One request over a connection of its own, and an answer whose body is read as it comes: for bodies that do not fit into memory.
 * Source: RFC 9112 (sections 6 and 7: the length of a body, chunks).
 */
import { KataError } from "../../kata-error.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import { endOfHead, MAX_HEAD_BYTES, parseHead } from "./http-message.ts";

export interface HttpAnswer {
  readonly status: number;
  /** By their names in lower case. */
  readonly fields: ReadonlyMap<string, string>;
  /** The body in pieces; a piece is valid until the next one is asked for. */
  readonly body: AsyncGenerator<Uint8Array, void>;
}

const READ_BYTES = 64 << 10;
/** Longest line before a chunk, bytes. */
const MAX_CHUNK_LINE = 256;

/**
 * Sends `GET` and reads the answer up to its body.
 *
 * @param host of the field of that name.
 * @throws KataError `malformed-message` for what is no answer.
 */
export async function httpGet(
  stream: ByteStream,
  host: string,
  target: string,
  fields: ReadonlyMap<string, string>,
): Promise<HttpAnswer> {
  const lines = [
    `GET ${target} HTTP/1.1`,
    `Host: ${host}`,
    "Connection: close",
    ...[...fields].map(([name, value]) => `${name}: ${value}`),
  ];
  if (lines.some((line) => /[\r\n]/.test(line))) throw malformed("a line end in a request");
  await stream.write(utf8Encode(`${lines.join("\r\n")}\r\n\r\n`));
  const source = new Source(stream);
  const { startLine, fields: answered } = parseHead(utf8Decode(await source.head()));
  const [, status] = /^HTTP\/1\.[01] (\d{3})(?: .*)?$/.exec(startLine) ?? [];
  if (status === undefined) throw malformed(JSON.stringify(startLine.slice(0, 200)));
  return { status: Number(status), fields: answered, body: bodyOf(source, answered) };
}

/** All of a body. @throws KataError `out-of-range` if it is longer than `limit` bytes. */
export async function wholeBody({ body }: HttpAnswer, limit: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body) {
    length += piece.length;
    if (length > limit) {
      throw new KataError("out-of-range", {
        operation: "read HTTP answer",
        object: `a body of more than ${limit} bytes`,
      });
    }
    pieces.push(piece.slice());
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** What a connection has sent and nobody has taken yet. */
class Source {
  readonly #stream: ByteStream;
  readonly #space = new Uint8Array(READ_BYTES);
  #start = 0;
  #end = 0;

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /** Up to the empty line, which is passed over. */
  async head(): Promise<Uint8Array> {
    for (;;) {
      const there = this.#space.subarray(0, this.#end);
      const end = endOfHead(there);
      if (end >= 0) {
        this.#start = end + 4;
        return there.slice(0, end);
      }
      if (this.#end > MAX_HEAD_BYTES) throw malformed(`more than ${MAX_HEAD_BYTES} bytes of header fields`);
      const count = await this.#stream.read(this.#space.subarray(this.#end));
      if (count === 0) throw malformed("it ends before its header fields do");
      this.#end += count;
    }
  }

  /** The next bytes, at most `limit`; undefined at the end. */
  async some(limit: number): Promise<Uint8Array | undefined> {
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = await this.#stream.read(this.#space);
      if (this.#end === 0) return undefined;
    }
    const taken = this.#space.subarray(this.#start, Math.min(this.#end, this.#start + limit));
    this.#start += taken.length;
    return taken;
  }

  /** Up to a line end, without it. */
  async line(): Promise<string> {
    let text = "";
    while (text.length < MAX_CHUNK_LINE) {
      const byte = await this.some(1);
      if (byte === undefined) throw malformed("it ends within a chunk");
      if (byte[0] === 10) return text.replace(/\r$/, "");
      text += String.fromCharCode(byte[0] ?? 0);
    }
    throw malformed("a line of a chunk that has no end");
  }
}

function bodyOf(source: Source, fields: ReadonlyMap<string, string>): AsyncGenerator<Uint8Array, void> {
  const encoding = fields.get("transfer-encoding");
  if (encoding !== undefined) {
    if (encoding.toLowerCase() !== "chunked") throw malformed(`transfer-encoding ${encoding.slice(0, 40)}`);
    return chunks(source);
  }
  const length = fields.get("content-length");
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw malformed("its content-length");
  return length === undefined ? untilEnd(source) : counted(source, Number(length));
}

async function* untilEnd(source: Source): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const piece = await source.some(READ_BYTES);
    if (piece === undefined) return;
    yield piece;
  }
}

async function* counted(source: Source, length: number): AsyncGenerator<Uint8Array, void> {
  for (let left = length; left > 0; ) {
    const piece = await source.some(left);
    if (piece === undefined) throw malformed("it ends before its body does");
    left -= piece.length;
    yield piece;
  }
}

async function* chunks(source: Source): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const [, digits] = /^([0-9a-fA-F]{1,8})\s*(;.*)?$/.exec(await source.line()) ?? [];
    if (digits === undefined) throw malformed("the length of a chunk");
    const length = Number.parseInt(digits, 16);
    // What follows the last one is of no interest: the connection ends.
    if (length === 0) return;
    yield* counted(source, length);
    if ((await source.line()) !== "") throw malformed("the end of a chunk");
  }
}

function malformed(object: string): KataError {
  return new KataError("malformed-message", { operation: "read HTTP answer", object });
}
