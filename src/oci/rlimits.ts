/**
 * Resource limits by name and number, the same on x86_64 and aarch64.
 * Source: getrlimit(2), asm-generic/resource.h.
 */
import { KataError } from "../kata-error.ts";

const NAMES =
  "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME";

/** All names, `RLIMIT_` in front, by number. */
export const RLIMIT_NAMES: readonly string[] = NAMES.split(" ").map((name) => `RLIMIT_${name}`);

/** `RLIM_INFINITY`: no limit. */
export const RLIM_INFINITY: bigint = (1n << 64n) - 1n;

/** The number of `name` (`RLIMIT_NOFILE`). @throws KataError `invalid-argument` if there is none of that name. */
export function rlimitNumber(name: string): number {
  const number = RLIMIT_NAMES.indexOf(name);
  if (number >= 0) return number;
  throw new KataError("invalid-argument", {
    operation: "read resource limit",
    object: JSON.stringify(name.slice(0, 40)),
    hint: `it is one of ${RLIMIT_NAMES.join(", ")}`,
  });
}
