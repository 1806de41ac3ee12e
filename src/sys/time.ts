/** The kernel's clocks. Sources: clock_gettime(2), settimeofday(2). */
import { check, kernel } from "./kernel.ts";

export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_BOOTTIME = 7;

const NANOSECONDS = 1_000_000_000n;

/** Nanoseconds of a clock. @param clock `CLOCK_*` */
export function clockGettime(clock: number): bigint {
  const time = new BigInt64Array(2);
  check(kernel().syscall("clock_gettime", clock, time), "read clock", String(clock));
  return (time[0] ?? 0n) * NANOSECONDS + (time[1] ?? 0n);
}

/** Sets a clock, in nanoseconds. @param clock `CLOCK_REALTIME` */
export function clockSettime(clock: number, nanoseconds: bigint): void {
  const time = new BigInt64Array([nanoseconds / NANOSECONDS, nanoseconds % NANOSECONDS]);
  check(kernel().syscall("clock_settime", clock, time), "set clock", String(clock));
}

/** Milliseconds since 1970. */
export function wallClockMs(): number {
  return Number(clockGettime(CLOCK_REALTIME)) / 1e6;
}

/** Sets the wall clock. @param seconds since 1970. @param microseconds 0 to 999,999. */
export function settimeofday(seconds: bigint, microseconds: bigint): void {
  const time = new BigInt64Array([seconds, microseconds]);
  check(kernel().syscall("settimeofday", time, null), "set wall clock", `${seconds} s`);
}
