/** What tells the host's processor from another, for machines that run on it and are saved. */
import { readTextFileIfExists } from "../../sys/files.ts";

/** Lines of /proc/cpuinfo that do. */
const PROCESSOR_LINES = /^(vendor_id|cpu family|model|stepping|microcode|flags)\s*:.*$/gm;

/** The processor and the kernel that runs guests on it, as text. */
export function processorIdentity(): string {
  const lines = new Set((readTextFileIfExists("/proc/cpuinfo") ?? "").match(PROCESSOR_LINES) ?? []);
  const release = readTextFileIfExists("/proc/sys/kernel/osrelease") ?? "";
  return [release.trim(), ...lines].join("\n");
}
