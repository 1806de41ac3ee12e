/**
 * Takes a stream of bytes apart into frames.
 *
 * Small frames are cut from one buffer that a single read fills, so a call costs one system call here; a body that does not
 * fit is read straight into its own buffer. A body over the bound is passed over, and the connection goes on.
 */
import { KataError } from "../kata-error.ts";
import type { ByteStream } from "../sys/byte-stream.ts";
import { decodeHeader, type FrameHeader, HEADER_BYTES, MAX_BODY_BYTES } from "./frame.ts";

/** Bytes asked for at once: most calls are far smaller, and an idle connection should cost little. */
const BUFFER_BYTES = 16 * 1024;

export interface Frame extends FrameHeader {
  /** Nobody else uses it; undefined if it was over {@link MAX_BODY_BYTES}. */
  readonly body: Uint8Array | undefined;
}

export class FrameReader {
  readonly #stream: ByteStream;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  /** What was read and not yet taken: from start to end. */
  #start = 0;
  #end = 0;

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /**
   * The next frame, undefined if the stream ended between two frames.
   *
   * @throws KataError `unexpected-end` if it ended inside of one; what the stream throws.
   */
  async next(): Promise<Frame | undefined> {
    while (this.#end - this.#start < HEADER_BYTES) {
      if (await this.#fill()) continue;
      if (this.#end === this.#start) return undefined;
      throw unexpectedEnd(this.#end - this.#start, HEADER_BYTES);
    }
    const header = decodeHeader(this.#buffer, this.#start);
    this.#start += HEADER_BYTES;
    const body =
      header.length > MAX_BODY_BYTES ? await this.#discard(header.length) : await this.#take(header.length);
    return { ...header, body };
  }

  async #take(length: number): Promise<Uint8Array> {
    if (length > BUFFER_BYTES - HEADER_BYTES) return await this.#takeLarge(length);
    while (this.#end - this.#start < length) {
      if (!(await this.#fill())) throw unexpectedEnd(this.#end - this.#start, length);
    }
    const body = this.#buffer.slice(this.#start, this.#start + length);
    this.#start += length;
    return body;
  }

  async #takeLarge(length: number): Promise<Uint8Array> {
    const body = new Uint8Array(length);
    let at = Math.min(length, this.#end - this.#start);
    body.set(this.#buffer.subarray(this.#start, this.#start + at));
    this.#start += at;
    while (at < length) {
      const count = await this.#stream.read(body.subarray(at));
      if (count === 0) throw unexpectedEnd(at, length);
      at += count;
    }
    return body;
  }

  async #discard(length: number): Promise<undefined> {
    let rest = length;
    for (;;) {
      const passed = Math.min(rest, this.#end - this.#start);
      this.#start += passed;
      rest -= passed;
      if (rest === 0) return undefined;
      if (!(await this.#fill())) throw unexpectedEnd(length - rest, length);
    }
  }

  /** Reads more behind what is there. @returns false at the end of the stream. */
  async #fill(): Promise<boolean> {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    else if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const count = await this.#stream.read(this.#buffer.subarray(this.#end));
    this.#end += count;
    return count > 0;
  }
}

function unexpectedEnd(there: number, wanted: number): KataError {
  return new KataError("unexpected-end", {
    operation: "read ttrpc frame",
    object: `${there} of ${wanted} bytes had come`,
  });
}
