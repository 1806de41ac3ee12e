/**
 * The talk between the agent and a child that becomes a container's process: a socket pair that execve closes.
 *
 * ```
 * agent                              child
 *   │ 'c' continue                 ─▶│ waits for it first: cgroup and id maps are set by then
 *   │◀─ 'T' fd  (u32, little-endian)  │ only with a terminal: the number of its master end
 *   │ 't' taken                    ─▶│ the agent has copied the master with pidfd_getfd
 *   │◀─ 'H' hooks                     │ only with hooks: all is mounted, the root is not changed yet
 *   │ 'h' hooks have run           ─▶│
 *   │◀─ 'P' length (u32) JSON         │ only when the agent traces: the phases of the set-up
 *   │◀─ 'R' ready                     │ all set up; for a container's first process it waits now
 *   │ 's' start                    ─▶│
 *   │◀─ end of stream                 │ execve worked
 *   │◀─ 'E' length (u32) JSON         │ at any point: what failed; the child exits after it
 * ```
 *
 * If the agent ends, the child reads the end of the stream and exits. The child's side makes plain blocking calls.
 */
import { KataError } from "../../kata-error.ts";
import { type FdStream, readExactly } from "../../sys/fd-stream.ts";
import { read, writeAll } from "../../sys/files.ts";
import type { Phase } from "../../sys/trace.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";

const CONTINUE = 0x63;
const TERMINAL = 0x54;
const TAKEN = 0x74;
const HOOKS = 0x48;
const HOOKS_RUN = 0x68;
const PHASES = 0x50;
const READY = 0x52;
const START = 0x73;
const FAILED = 0x45;

/** Longest list of phases that a child reports, bytes. */
const MAX_PHASES_BYTES = 64 << 10;

/** Longest error that a child reports, bytes. */
const MAX_REPORT_BYTES = 16 << 10;

/** What an error carries from one process to the other. */
interface ReportedError {
  readonly code: string;
  readonly operation: string;
  readonly object: string;
  readonly errno?: string | undefined;
  readonly hint?: string | undefined;
}

/** What the agent hears from its child. */
export type ChildMessage =
  | { readonly kind: "terminal"; readonly fd: number }
  | { readonly kind: "hooks" }
  | { readonly kind: "phases"; readonly phases: readonly Phase[] }
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly error: KataError }
  /** The stream ended: execve worked, or the child was killed. */
  | { readonly kind: "end" };

/** The agent's end. */
export class ChildChannel {
  readonly #stream: FdStream;

  constructor(stream: FdStream) {
    this.#stream = stream;
  }

  async next(): Promise<ChildMessage> {
    const first = new Uint8Array(1);
    const count = await this.#stream.read(first);
    if (count === 0) return { kind: "end" };
    switch (first[0]) {
      case HOOKS:
        return { kind: "hooks" };
      case PHASES:
        return { kind: "phases", phases: JSON.parse(utf8Decode(await this.#text(MAX_PHASES_BYTES))) };
      case READY:
        return { kind: "ready" };
      case TERMINAL:
        return { kind: "terminal", fd: await this.#number() };
      case FAILED:
        return { kind: "failed", error: decodeError(await this.#text(MAX_REPORT_BYTES)) };
      default:
        throw new KataError("internal", {
          operation: "hear from container process",
          object: `unexpected message ${first[0]}`,
        });
    }
  }

  letContinue(): Promise<void> {
    return this.#stream.write(Uint8Array.of(CONTINUE));
  }

  terminalTaken(): Promise<void> {
    return this.#stream.write(Uint8Array.of(TAKEN));
  }

  hooksHaveRun(): Promise<void> {
    return this.#stream.write(Uint8Array.of(HOOKS_RUN));
  }

  start(): Promise<void> {
    return this.#stream.write(Uint8Array.of(START));
  }

  close(): void {
    this.#stream.close();
  }

  async #number(): Promise<number> {
    const bytes = await readExactly(this.#stream, 4);
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  }

  async #text(limit: number): Promise<Uint8Array> {
    return readExactly(this.#stream, Math.min(await this.#number(), limit));
  }
}

/** The child's end: a number, used with blocking calls. */
export class ParentChannel {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  waitToContinue(): void {
    this.#expect(CONTINUE);
  }

  /** Hands the terminal's master end to the agent. */
  passTerminal(master: number): void {
    const message = new Uint8Array(5);
    message[0] = TERMINAL;
    new DataView(message.buffer).setUint32(1, master, true);
    writeAll(this.fd, message);
    this.#expect(TAKEN);
  }

  /** Waits while the agent runs the hooks that run outside. */
  letRuntimeHooksRun(): void {
    writeAll(this.fd, Uint8Array.of(HOOKS));
    this.#expect(HOOKS_RUN);
  }

  /** Tells the agent's trace what this process has done so far. */
  passPhases(phases: readonly Phase[]): void {
    const text = utf8Encode(JSON.stringify(phases));
    if (text.length <= MAX_PHASES_BYTES) this.#pass(PHASES, text);
  }

  ready(): void {
    writeAll(this.fd, Uint8Array.of(READY));
  }

  waitToStart(): void {
    this.#expect(START);
  }

  fail(error: unknown): void {
    this.#pass(FAILED, encodeError(error));
  }

  #pass(kind: number, text: Uint8Array): void {
    const message = new Uint8Array(5 + text.length);
    message[0] = kind;
    new DataView(message.buffer).setUint32(1, text.length, true);
    message.set(text, 5);
    writeAll(this.fd, message);
  }

  #expect(expected: number): void {
    const got = new Uint8Array(1);
    if (read(this.fd, got) === 1 && got[0] === expected) return;
    throw new KataError("cancelled", { operation: "wait for the agent", object: "it gave up this process" });
  }
}

/** `error` as bytes, at most {@link MAX_REPORT_BYTES}. */
export function encodeError(error: unknown): Uint8Array {
  const report: ReportedError =
    error instanceof KataError
      ? pickFields(error)
      : { code: "internal", operation: "set up process", object: String(error) };
  const bytes = utf8Encode(JSON.stringify(report));
  if (bytes.length <= MAX_REPORT_BYTES) return bytes;
  return utf8Encode(JSON.stringify({ ...report, object: report.object.slice(0, 1024), hint: undefined }));
}

function pickFields({ code, operation, object, errno, hint }: KataError): ReportedError {
  return { code, operation, object, errno, hint };
}

/** The error that {@link encodeError} wrote. */
export function decodeError(bytes: Uint8Array): KataError {
  const report: unknown = JSON.parse(utf8Decode(bytes));
  const field = (name: string): string | undefined => {
    const value = typeof report === "object" && report !== null ? Reflect.get(report, name) : undefined;
    return typeof value === "string" ? value : undefined;
  };
  return new KataError(field("code") ?? "internal", {
    operation: field("operation") ?? "set up process",
    object: field("object") ?? "unknown",
    errno: field("errno"),
    hint: field("hint"),
  });
}
