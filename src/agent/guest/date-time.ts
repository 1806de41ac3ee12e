/** The guest's wall clock. */
import { KataError } from "../../kata-error.ts";
import { settimeofday } from "../../sys/time.ts";

/** Sets the wall clock. @param seconds since 1970. @param microseconds 0 to 999,999. */
export function setDateTime(seconds: bigint, microseconds: bigint): void {
  if (seconds < 0n || microseconds < 0n || microseconds > 999_999n) {
    throw new KataError("invalid-argument", {
      operation: "set date and time",
      object: `${seconds} s, ${microseconds} µs`,
    });
  }
  settimeofday(seconds, microseconds);
}
