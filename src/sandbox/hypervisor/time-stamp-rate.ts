/**
 * How fast the host's time stamp counter runs, which is what an emulated guest of the same architecture reads.
 * Sources: QEMU, cpu_get_host_ticks; Linux arch/x86/kernel/cpu/proc.c ("cpu MHz").
 */
import { exists, readTextFile } from "../../sys/files.ts";

const CPU_FREQUENCY_CONTROL = "/sys/devices/system/cpu/cpu0/cpufreq";

/** The host's rate in kHz; undefined if it does not tell. */
export function timeStampRate(): number | undefined {
  return readTimeStampRate(readTextFile("/proc/cpuinfo"), exists(CPU_FREQUENCY_CONTROL));
}

/**
 * "cpu MHz" is the counter's rate where the kernel has nothing to measure the clock of the processor by, as in a virtual machine.
 *
 * @param cpuInfo text of /proc/cpuinfo.
 * @param changes whether the processor's clock is under control.
 */
export function readTimeStampRate(cpuInfo: string, changes: boolean): number | undefined {
  const flags = (/^flags\s*:(.*)$/m.exec(cpuInfo)?.[1] ?? "").split(/\s+/);
  if (changes || !flags.includes("tsc") || flags.includes("aperfmperf")) return undefined;
  const megahertz = /^cpu MHz\s*:\s*(\d+\.\d+)$/m.exec(cpuInfo)?.[1];
  return megahertz === undefined ? undefined : Math.round(Number(megahertz) * 1000);
}
