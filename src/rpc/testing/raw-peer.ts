/** The other side of a connection, byte by byte: what a test sends and sees. */

import { requestFrame } from "../frame.ts";
import { type Frame, FrameParser } from "../frame-parser.ts";
import { decodeResponse, type RequestInput } from "../generated.ts";
import type { MemoryStream } from "./memory-stream.ts";

/** A frame with any header, also a wrong one. */
export function rawFrame(
  stream: number,
  type: number,
  flags: number,
  body: Uint8Array = new Uint8Array(0),
  length: number = body.length,
): Uint8Array {
  const frame = new Uint8Array(10 + body.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, length);
  view.setUint32(4, stream);
  view.setUint8(8, type);
  view.setUint8(9, flags);
  frame.set(body, 10);
  return frame;
}

export const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** The next frame of a stream; undefined if it ended between two frames. */
export async function readFrame(stream: MemoryStream, parser: FrameParser): Promise<Frame | undefined> {
  for (;;) {
    const frame = parser.next();
    if (frame !== undefined) return frame;
    const count = await stream.read(parser.space());
    if (count === 0) break;
    parser.filled(count);
  }
  parser.end();
  return undefined;
}

/** A frame as a test compares it: a response by its status, or its payload. */
export type SeenFrame =
  | { readonly stream: number; readonly status: number; readonly message: string }
  | { readonly stream: number; readonly payload: readonly number[] }
  | {
      readonly stream: number;
      readonly type: number;
      readonly flags: number;
      readonly body: readonly number[];
    };

export class RawPeer {
  readonly #stream: MemoryStream;
  readonly #parser = new FrameParser();

  constructor(stream: MemoryStream) {
    this.#stream = stream;
  }

  send(...parts: Uint8Array[]): Promise<void> {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return this.#stream.write(whole);
  }

  request(stream: number, request: RequestInput, flags = 0): Promise<void> {
    return this.send(requestFrame(stream, flags, request));
  }

  /** The next frame of the other side; undefined when it has hung up. */
  async next(): Promise<SeenFrame | undefined> {
    const frame = await readFrame(this.#stream, this.#parser);
    if (frame === undefined) return undefined;
    const { stream, type, flags } = frame;
    const body = frame.body ?? new Uint8Array(0);
    if (type !== 2) return { stream, type, flags, body: [...body] };
    const { status, payload } = decodeResponse(body);
    if (status !== undefined && status.code !== 0)
      return { stream, status: status.code, message: status.message };
    return { stream, payload: [...payload] };
  }
}

/** Lets everything happen that needs no time. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
