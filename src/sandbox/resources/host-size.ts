/** What this machine has. Sources: sysinfo(2), sched_getaffinity(2). */
import { check, kernel } from "../../sys/kernel.ts";
import type { HostSize } from "./sizing.ts";

/** Room for 8192 CPUs, the kernel's largest number. */
const CPU_MASK_BYTES = 1024;
const MIB = 1 << 20;

/** Numbers of the CPUs that this process may use. */
export function usableCpus(): number[] {
  const mask = new Uint8Array(CPU_MASK_BYTES);
  const length = check(
    kernel().syscall("sched_getaffinity", 0, mask.length, mask),
    "count CPUs of",
    "the host",
  );
  const cpus: number[] = [];
  for (let cpu = 0; cpu < length * 8; cpu++) if (((mask[cpu >> 3] ?? 0) >> (cpu & 7)) & 1) cpus.push(cpu);
  return cpus;
}

export function hostSize(): HostSize {
  const cpus = usableCpus().length;
  // struct sysinfo on 64 bits: total memory at 32, in units whose size is at 104.
  const info = new DataView(new ArrayBuffer(112));
  check(kernel().syscall("sysinfo", info.buffer), "measure memory of", "the host");
  const bytes = Number(info.getBigUint64(32, true)) * info.getUint32(104, true);
  return { cpus: Math.max(cpus, 1), memoryMib: Math.floor(bytes / MIB) };
}
