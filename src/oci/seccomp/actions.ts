/**
 * What a filter does with a call, as the kernel's return values, and the flags of a filter.
 * Source: seccomp(2), linux/seccomp.h.
 */
import { KataError } from "../../kata-error.ts";
import type { SeccompAction } from "../types.ts";

export const SECCOMP_RET_KILL_PROCESS = 0x8000_0000;
export const SECCOMP_RET_ERRNO = 0x0005_0000;

const RETURN_VALUES: Readonly<Record<SeccompAction, number>> = {
  SCMP_ACT_KILL: 0x0000_0000,
  SCMP_ACT_KILL_THREAD: 0x0000_0000,
  SCMP_ACT_KILL_PROCESS: SECCOMP_RET_KILL_PROCESS,
  SCMP_ACT_TRAP: 0x0003_0000,
  SCMP_ACT_ERRNO: SECCOMP_RET_ERRNO,
  SCMP_ACT_NOTIFY: 0x7fc0_0000,
  SCMP_ACT_TRACE: 0x7ff0_0000,
  SCMP_ACT_LOG: 0x7ffc_0000,
  SCMP_ACT_ALLOW: 0x7fff_0000,
};

/** `SCMP_ACT_*` names, for the list of features. */
export const SECCOMP_ACTIONS: readonly string[] = Object.keys(RETURN_VALUES);

const EPERM = 1;
/** The kernel makes a larger error this one (`MAX_ERRNO`). */
const MAX_ERRNO = 4095;
/** A tracer gets 16 bits. */
const MAX_TRACE_MESSAGE = 0xffff;

/**
 * The value to return for `action`.
 *
 * @param errno for ERRNO the error of the call, for TRACE the tracer's message; EPERM if undefined.
 * @throws KataError `invalid-argument` if it is too large, or comes with an action that has no use for it.
 */
export function returnValue(action: SeccompAction, errno: number | undefined): number {
  const base = RETURN_VALUES[action];
  if (action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE") {
    const max = action === "SCMP_ACT_ERRNO" ? MAX_ERRNO : MAX_TRACE_MESSAGE;
    const data = errno ?? EPERM;
    if (data <= max) return base | data;
    throw invalid(`${action} with errnoRet ${data}`, `it is at most ${max}`);
  }
  // Zero is what a message without the field says.
  if (errno === undefined || errno === 0) return base;
  throw invalid(`${action} with errnoRet ${errno}`, "only SCMP_ACT_ERRNO and SCMP_ACT_TRACE have one");
}

const FLAGS: ReadonlyMap<string, number> = new Map([
  ["SECCOMP_FILTER_FLAG_TSYNC", 0x1],
  ["SECCOMP_FILTER_FLAG_LOG", 0x2],
  ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", 0x4],
  ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 0x20],
]);

/** `SECCOMP_FILTER_FLAG_*` names, for the list of features. */
export const SECCOMP_FLAGS: readonly string[] = [...FLAGS.keys()];

const NEW_LISTENER = 0x8;
const TSYNC = 0x1;
const TSYNC_ESRCH = 0x10;
const WAIT_KILLABLE_RECV = 0x20;

/** The flags of a filter. @throws KataError `invalid-argument` for one that is not known or that lacks its purpose. */
export function filterFlags(names: readonly string[], notifies: boolean): number {
  let flags = notifies ? NEW_LISTENER : 0;
  for (const name of names) {
    const bit = FLAGS.get(name);
    if (bit === undefined)
      throw invalid(`flag ${name.slice(0, 80)}`, `it is one of ${SECCOMP_FLAGS.join(", ")}`);
    flags |= bit;
  }
  if ((flags & WAIT_KILLABLE_RECV) !== 0 && !notifies) {
    throw invalid("flag SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "it needs an action SCMP_ACT_NOTIFY");
  }
  // Otherwise the call could return either a thread that failed or the listener.
  return notifies && (flags & TSYNC) !== 0 ? flags | TSYNC_ESRCH : flags;
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "compile seccomp filter", object, hint });
}
