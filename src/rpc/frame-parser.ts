/**
 * Takes a stream of bytes apart into frames, without waiting for anything itself:
 *
 * ```ts
 * for (;;) {
 *   const frame = parser.next();
 *   if (frame !== undefined) handle(frame);
 *   else {
 *     const count = await stream.read(parser.space());
 *     if (count === 0) break;
 *     parser.filled(count);
 *   }
 * }
 * parser.end();
 * ```
 *
 * Small frames are cut from one buffer that a single read fills, so a call costs one system call here; a body that does not
 * fit is read straight into its own buffer. A body over the bound is passed over, and the connection goes on.
 */
import { KataError } from "../kata-error.ts";
import { type FrameHeader, HEADER_BYTES, MAX_BODY_BYTES, readUint32 } from "./frame.ts";

/** Bytes asked for at once: most calls are far smaller, and an idle connection should cost little. */
const BUFFER_BYTES = 16 * 1024;

/**
 * Largest body that is passed over, bytes. A length above it is no slip of a peer but a sign that what is read are no frames;
 * going on would lose all that follows.
 */
export const MAX_DISCARDED_BYTES = 256 << 20;

export interface Frame extends FrameHeader {
  /** Nobody else uses it; undefined if it was over {@link MAX_BODY_BYTES}. */
  readonly body: Uint8Array | undefined;
}

/** A frame whose body does not fit into the buffer: kept in a buffer of its own, or passed over. */
interface LargeFrame extends FrameHeader {
  readonly body: Uint8Array | undefined;
  /** Bytes of the body that have come. */
  filled: number;
}

export class FrameParser {
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  /** What was read and not yet taken: from start to end. */
  #start = 0;
  #end = 0;
  #large: LargeFrame | undefined;
  #wanted: ((header: FrameHeader) => boolean) | undefined;

  /** @param first passes over everything in front of a header that it accepts: what comes may begin inside of a frame. */
  constructor(first?: (header: FrameHeader) => boolean) {
    this.#wanted = first;
  }

  /** Where the next bytes of the stream belong; {@link filled} says how many have come. */
  space(): Uint8Array {
    const large = this.#large;
    if (large?.body !== undefined) return large.body.subarray(large.filled);
    if (this.#start === this.#end) {
      this.#start = this.#end = 0;
      return this.#buffer;
    }
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    return this.#buffer.subarray(this.#end);
  }

  filled(count: number): void {
    if (this.#large?.body !== undefined) this.#large.filled += count;
    else this.#end += count;
  }

  /** The next frame, undefined if it has not come in full. @throws KataError `malformed-frame` if there is no frame. */
  next(): Frame | undefined {
    if (this.#large !== undefined) return this.#nextLarge(this.#large);
    if (this.#wanted !== undefined && !this.#seek(this.#wanted)) return undefined;
    const buffer = this.#buffer;
    const start = this.#start;
    if (this.#end - start < HEADER_BYTES) return undefined;
    const length = readUint32(buffer, start);
    const bodyStart = start + HEADER_BYTES;
    const bodyEnd = bodyStart + length;
    if (length > BUFFER_BYTES - HEADER_BYTES) return this.#startLarge(length);
    if (bodyEnd > this.#end) return undefined;
    this.#start = bodyEnd;
    return {
      length,
      stream: readUint32(buffer, start + 4),
      type: buffer[start + 8] ?? 0,
      flags: buffer[start + 9] ?? 0,
      body: buffer.slice(bodyStart, bodyEnd),
    };
  }

  /** What the end of the stream means. @throws KataError `unexpected-end` if it is inside of a frame. */
  end(): void {
    if (this.#large === undefined && this.#start === this.#end) return;
    const there = this.#large === undefined ? this.#end - this.#start : this.#large.filled;
    throw new KataError("unexpected-end", {
      operation: "read ttrpc frame",
      object: `${there} bytes of a frame had come`,
    });
  }

  #startLarge(length: number): Frame | undefined {
    if (length > MAX_DISCARDED_BYTES) {
      throw new KataError("malformed-frame", {
        operation: "read ttrpc frame",
        object: `a body of ${length} bytes`,
      });
    }
    const large: LargeFrame = {
      ...this.#header(),
      body: length > MAX_BODY_BYTES ? undefined : new Uint8Array(length),
      filled: 0,
    };
    this.#start += HEADER_BYTES;
    this.#large = large;
    return this.#nextLarge(large);
  }

  #nextLarge(large: LargeFrame): Frame | undefined {
    const { length, stream, type, flags, body } = large;
    const count = Math.min(length - large.filled, this.#end - this.#start);
    if (count > 0) {
      body?.set(this.#buffer.subarray(this.#start, this.#start + count), large.filled);
      this.#start += count;
      large.filled += count;
    }
    if (large.filled < length) return undefined;
    this.#large = undefined;
    return { length, stream, type, flags, body };
  }

  /** Passes over bytes up to a header that is wanted. @returns whether it is there. */
  #seek(wanted: (header: FrameHeader) => boolean): boolean {
    for (; this.#end - this.#start >= HEADER_BYTES; this.#start++) {
      // The length of a frame begins with a zero, see MAX_BODY_BYTES.
      if (this.#buffer[this.#start] !== 0) continue;
      const header = this.#header();
      if (header.length > MAX_BODY_BYTES || !wanted(header)) continue;
      this.#wanted = undefined;
      return true;
    }
    return false;
  }

  #header(): FrameHeader {
    const buffer = this.#buffer;
    const at = this.#start;
    return {
      length: readUint32(buffer, at),
      stream: readUint32(buffer, at + 4),
      type: buffer[at + 8] ?? 0,
      flags: buffer[at + 9] ?? 0,
    };
  }
}
