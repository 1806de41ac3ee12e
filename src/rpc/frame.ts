/**
 * ttrpc frames: a ten-byte header and its body.
 *
 * ```
 *  0        4        8     9     10
 *  ┌────────┬────────┬─────┬─────┬──────┐
 *  │ length │ stream │ type│flags│ body │   length of the body and stream id: u32, big-endian
 *  └────────┴────────┴─────┴─────┴──────┘
 * ```
 *
 * A request or response frame holds the message of that name (`proto/ttrpc.proto`), a data frame a message of the call as it is.
 * There is no preface, no flow control and no way to tell the server that a call is given up.
 * Source: containerd/ttrpc, PROTOCOL.md.
 */
import { KataError } from "../kata-error.ts";
import { type RequestInput, type ResponseInput, writeRequest, writeResponse } from "./generated.ts";
import { Writer } from "./protobuf-writer.ts";

/** Header size, bytes. */
export const HEADER_BYTES = 10;

/** Largest body either side may send, bytes: the bound of every ttrpc implementation in use. */
export const MAX_BODY_BYTES = 4 << 20;

/** Highest id of a stream: clients use the odd ones, each once, so a connection has 2^31 calls. */
export const MAX_STREAM_ID = 0xffff_ffff;

export const FrameType = { request: 1, response: 2, data: 3 } as const;

export const FrameFlag = {
  /** On a request or data: its sender sends no more data on this stream. */
  remoteClosed: 1,
  /** On a request: data follows. */
  remoteOpen: 2,
  /** On data: there is no message in it. Without it, an empty body is an empty message. */
  noData: 4,
} as const;

export interface FrameHeader {
  /** Of the body, bytes; what the peer says. */
  readonly length: number;
  readonly stream: number;
  /** One of {@link FrameType}, or what a newer peer knows. */
  readonly type: number;
  readonly flags: number;
}

/** The u32 at `at`, big-endian; what is behind the end counts as 0. */
export function readUint32(from: Uint8Array, at: number): number {
  const low = ((from[at + 1] ?? 0) << 16) | ((from[at + 2] ?? 0) << 8) | (from[at + 3] ?? 0);
  return (from[at] ?? 0) * 0x100_0000 + low;
}

function writeUint32(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 24;
  into[at + 1] = value >>> 16;
  into[at + 2] = value >>> 8;
  into[at + 3] = value;
}

/** A request as a frame. @throws KataError `resource-exhausted` if it is too large. */
export function requestFrame(stream: number, flags: number, request: RequestInput): Uint8Array {
  const writer = new Writer(HEADER_BYTES);
  writeRequest(writer, request);
  return finish(writer.written(), stream, FrameType.request, flags);
}

/** A response as a frame. @throws KataError `resource-exhausted` if it is too large. */
export function responseFrame(stream: number, response: ResponseInput): Uint8Array {
  const writer = new Writer(HEADER_BYTES);
  writeResponse(writer, response);
  return finish(writer.written(), stream, FrameType.response, 0);
}

/** A message as a frame. @throws KataError `resource-exhausted` if it is too large. */
export function dataFrame(stream: number, flags: number, message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + message.length);
  frame.set(message, HEADER_BYTES);
  return finish(frame, stream, FrameType.data, flags);
}

/** Fills the header in. */
function finish(frame: Uint8Array, stream: number, type: number, flags: number): Uint8Array {
  const length = frame.length - HEADER_BYTES;
  if (length > MAX_BODY_BYTES) throw oversized("send ttrpc message", length);
  writeUint32(frame, 0, length);
  writeUint32(frame, 4, stream);
  frame[8] = type;
  frame[9] = flags;
  return frame;
}

/** What a message over the bound is answered with, in the words of the other implementations. */
export function oversized(operation: string, length: number): KataError {
  return new KataError("resource-exhausted", {
    operation,
    object: `message length ${length} exceed maximum message size of ${MAX_BODY_BYTES}`,
  });
}
