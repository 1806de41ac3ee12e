/**
 * A process's streams over one connection: what follows a request to run something that was answered with 101 (Switching Protocols).
 *
 * Each frame is its kind (1 byte), the length of its payload (4 bytes, big-endian), and the payload:
 *
 * | kind | payload | from |
 * |---|---|---|
 * | 0 stdin | bytes; none at its end | client |
 * | 1 size | rows and columns, 2 bytes each, big-endian | client |
 * | 2 signal | its number, 1 byte | client |
 * | 3 stdout, 4 stderr | bytes | server |
 * | 5 exit | the status, 1 byte; nothing comes after it | server |
 * | 6 failure | `{"code": …, "message": …}`: why there is no status; nothing comes after it | server |
 */
import { KataError } from "../../kata-error.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";

/** What the Upgrade field of request and answer names. */
export const EXEC_PROTOCOL = "kata-exec";

export type ExecFrame =
  | { readonly kind: "stdin" | "stdout" | "stderr"; readonly bytes: Uint8Array }
  | { readonly kind: "size"; readonly rows: number; readonly columns: number }
  | { readonly kind: "signal"; readonly signal: number }
  | { readonly kind: "exit"; readonly status: number }
  /** The code and message of a KataError. */
  | { readonly kind: "failure"; readonly code: string; readonly message: string };

const KINDS = ["stdin", "size", "signal", "stdout", "stderr", "exit", "failure"] as const;
const HEAD_BYTES = 5;
/** Longest payload that is taken; senders make shorter ones. */
export const MAX_FRAME_BYTES = 1 << 20;

export function encodeExecFrame(frame: ExecFrame): Uint8Array {
  const payload = payloadOf(frame);
  const bytes = new Uint8Array(HEAD_BYTES + payload.length);
  bytes[0] = KINDS.indexOf(frame.kind);
  new DataView(bytes.buffer).setUint32(1, payload.length);
  bytes.set(payload, HEAD_BYTES);
  return bytes;
}

function payloadOf(frame: ExecFrame): Uint8Array {
  switch (frame.kind) {
    case "stdin":
    case "stdout":
    case "stderr":
      return frame.bytes;
    case "size":
      return Uint8Array.of(frame.rows >> 8, frame.rows & 255, frame.columns >> 8, frame.columns & 255);
    case "signal":
      return Uint8Array.of(frame.signal);
    case "exit":
      return Uint8Array.of(frame.status);
    case "failure":
      return utf8Encode(JSON.stringify({ code: frame.code, message: frame.message.slice(0, 4096) }));
  }
}

/** @returns undefined at the end of the stream. @throws KataError `malformed-message` for what is no frame. */
export async function readExecFrame(stream: ByteStream): Promise<ExecFrame | undefined> {
  const head = await readExactly(stream, HEAD_BYTES);
  if (head === undefined) return undefined;
  const kind = KINDS[head[0] ?? KINDS.length];
  const length = new DataView(head.buffer).getUint32(1);
  if (kind === undefined || length > MAX_FRAME_BYTES) throw malformed(`kind ${head[0]}, ${length} bytes`);
  const bytes = await readExactly(stream, length);
  if (bytes === undefined) throw malformed("it ends in the middle");
  switch (kind) {
    case "stdin":
    case "stdout":
    case "stderr":
      return { kind, bytes };
    case "failure":
      return { kind, ...parseFailure(utf8Decode(bytes)) };
    case "size": {
      if (length !== 4) throw malformed(`a size of ${length} bytes`);
      const view = new DataView(bytes.buffer);
      return { kind, rows: view.getUint16(0), columns: view.getUint16(2) };
    }
    case "signal":
    case "exit": {
      const [number] = bytes;
      if (number === undefined || length !== 1) throw malformed(`${kind} of ${length} bytes`);
      return kind === "exit" ? { kind, status: number } : { kind, signal: number };
    }
  }
}

function parseFailure(text: string): { readonly code: string; readonly message: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const { code, message } = (typeof value === "object" && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  if (typeof code === "string" && typeof message === "string") return { code, message };
  throw malformed("a failure without code and message");
}

/** @returns undefined if the stream has ended before the first byte. */
async function readExactly(stream: ByteStream, length: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const count = await stream.read(bytes.subarray(at));
    if (count === 0) {
      if (at === 0) return undefined;
      throw malformed("it ends in the middle");
    }
    at += count;
  }
  return bytes;
}

function malformed(object: string): KataError {
  return new KataError("malformed-message", { operation: "read frame of a process's streams", object });
}
