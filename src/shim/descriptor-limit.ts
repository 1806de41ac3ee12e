/** How many files the shim may have open: each process of a container takes half a dozen. */
import { check, kernel } from "../sys/kernel.ts";
import { prlimit } from "../sys/process.ts";

/** Source: Linux UAPI header asm-generic/resource.h. */
const RLIMIT_NOFILE = 7;

/** Allows as many as whoever started this process does; the lower default is for programs that use select(2). */
export function raiseDescriptorLimit(): void {
  const limits = new BigUint64Array(2);
  check(kernel().syscall("prlimit64", 0, RLIMIT_NOFILE, null, limits), "read limit of", "open files");
  const [soft = 0n, hard = 0n] = limits;
  if (soft < hard) prlimit(0, RLIMIT_NOFILE, hard, hard);
}
