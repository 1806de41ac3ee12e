/** What this machine has. Sources: sysinfo(2), sched_getaffinity(2). */
import { check, kernel } from "../../sys/kernel.ts";
import type { HostSize } from "./sizing.ts";

/** Room for 8192 CPUs, the kernel's largest number. */
const CPU_MASK_BYTES = 1024;
const MIB = 1 << 20;

export function hostSize(): HostSize {
  const mask = new Uint8Array(CPU_MASK_BYTES);
  const length = check(
    kernel().syscall("sched_getaffinity", 0, mask.length, mask),
    "count CPUs of",
    "the host",
  );
  let cpus = 0;
  for (const byte of mask.subarray(0, length)) for (let bits = byte; bits !== 0; bits &= bits - 1) cpus++;
  // struct sysinfo on 64 bits: total memory at 32, in units whose size is at 104.
  const info = new DataView(new ArrayBuffer(112));
  check(kernel().syscall("sysinfo", info.buffer), "measure memory of", "the host");
  const bytes = Number(info.getBigUint64(32, true)) * info.getUint32(104, true);
  return { cpus: Math.max(cpus, 1), memoryMib: Math.floor(bytes / MIB) };
}
