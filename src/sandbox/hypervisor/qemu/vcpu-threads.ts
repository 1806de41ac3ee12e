/** The threads by which QEMU runs a machine's CPUs. Source: QMP reference, query-cpus-fast. */
import { asRecords } from "./qmp-messages.ts";

/** Their numbers on the host, in the order of the CPUs. @param answer of `query-cpus-fast`. */
export function vcpuThreads(answer: unknown): number[] {
  return asRecords(answer)
    .filter((cpu) => Number.isSafeInteger(cpu["thread-id"]) && Number(cpu["thread-id"]) > 1)
    .sort((a, b) => Number(a["cpu-index"]) - Number(b["cpu-index"]))
    .map((cpu) => Number(cpu["thread-id"]));
}
