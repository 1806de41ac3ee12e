/**
 * How a call ended: the numbers on the wire and the codes of {@link KataError}.
 *
 * Source: google.golang.org/grpc/codes, which ttrpc shares; containerd's errdefs.
 */
import { describeError, KataError } from "../kata-error.ts";

/** The codes in the order of their numbers. */
const CODES = [
  "ok",
  "cancelled",
  "unknown",
  "invalid-argument",
  "deadline-exceeded",
  "not-found",
  "already-exists",
  "permission-denied",
  "resource-exhausted",
  "failed-precondition",
  "aborted",
  "out-of-range",
  "unimplemented",
  "internal",
  "unavailable",
  "data-loss",
  "unauthenticated",
] as const;

export type StatusCode = (typeof CODES)[number];

/** What a failed system call means to a peer. */
const ERRNO_CODES: Readonly<Record<string, StatusCode>> = {
  ENOENT: "not-found",
  EEXIST: "already-exists",
  EACCES: "permission-denied",
  EPERM: "permission-denied",
  EINVAL: "invalid-argument",
};

/** Longest text of an error, UTF-16 units: it has to fit into a frame, and is for people. */
const MAX_TEXT = 64 * 1024;

export interface Status {
  readonly code: number;
  readonly message: string;
}

/** The number of a code. */
export function statusNumber(code: StatusCode): number {
  return CODES.indexOf(code);
}

/** What the caller is told of a handler's error. */
export function statusOf(error: unknown): Status {
  return { code: statusNumber(codeOf(error)), message: describeError(error).slice(0, MAX_TEXT) };
}

function codeOf(error: unknown): StatusCode {
  if (!(error instanceof KataError)) return "unknown";
  if (error.code === "system-call") return ERRNO_CODES[error.errno ?? ""] ?? "unknown";
  // A request that is no message: what containerd's own server answers.
  if (error.code === "malformed-message") return "internal";
  return CODES.find((code) => code === error.code && code !== "ok") ?? "unknown";
}

/** What a caller gets for a status that is not 0. @param operation the call. */
export function errorOf(status: Status, operation: string): KataError {
  const code = CODES[status.code] ?? "unknown";
  return new KataError(code, { operation, object: status.message || code });
}

/** What every call on a connection that has ended gets. */
export function closedError(operation: string, cause?: unknown): KataError {
  return new KataError("unavailable", { operation, object: "ttrpc: closed", cause });
}
