/** The project's one error class. */

export interface KataErrorDetails {
  /** What was being done, as a verb phrase: "mount overlay". */
  readonly operation: string;
  /** What it was done to: a path, an id, an address. */
  readonly object: string;
  /** The kernel's name for the failure: "ENOSPC". */
  readonly errno?: string | undefined;
  /** What the reader can do about it, one sentence. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** What went wrong, for a program (`code`) and for the person who has to act on it (`message`). */
export class KataError extends Error {
  override readonly name = "KataError";
  /** Stable and documented: callers branch on it. `system-call` for a failed system call, with `errno` set. */
  readonly code: string;
  readonly operation: string;
  readonly object: string;
  readonly errno: string | undefined;
  readonly hint: string | undefined;

  constructor(code: string, details: KataErrorDetails) {
    const { operation, object, errno, hint, cause } = details;
    super(`${operation}: ${object}${errno ? `: ${errno}` : ""}${hint ? ` (${hint})` : ""}`, { cause });
    this.code = code;
    this.operation = operation;
    this.object = object;
    this.errno = errno;
    this.hint = hint;
  }
}

/** True if `error` is a {@link KataError} that carries one of `errnos`. */
export function hasErrno(error: unknown, ...errnos: string[]): error is KataError {
  return error instanceof KataError && error.errno !== undefined && errnos.includes(error.errno);
}

/** True if `error` is a {@link KataError} with one of `codes`. */
export function hasCode(error: unknown, ...codes: string[]): error is KataError {
  return error instanceof KataError && codes.includes(error.code);
}

/** One line for a log or a user, whatever was thrown. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
