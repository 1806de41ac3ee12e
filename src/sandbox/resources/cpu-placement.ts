/**
 * Which of the host's CPUs run the machine's.
 *
 * The CPUs that containers are given by the host (`cpuset.cpus`) are the machine's together. With `enable_vcpus_pinning`, and as many
 * of them as the machine has, each runs one of the machine's; otherwise the kernel chooses among them.
 * Sources: sched_setaffinity(2); upstream Kata Containers, "vCPU pinning".
 */
import { describeError, hasErrno } from "../../kata-error.ts";
import { parseCpuList } from "../../oci/cpu-list.ts";
import type { LinuxResources } from "../../oci/types.ts";
import { check, kernel } from "../../sys/kernel.ts";
import type { Logger } from "../types.ts";

export interface CpuPlacementParts {
  /** Threads of the machine's CPUs, in the order of the CPUs. */
  readonly threads: () => Promise<readonly number[]>;
  /** The group of the threads. */
  readonly group: { add(threads: readonly number[]): void; setCpus(list: string): void };
  readonly pinning: boolean;
  /** CPUs that this process may use. */
  readonly hostCpus: readonly number[];
  readonly setAffinity: (thread: number, cpus: readonly number[]) => void;
  readonly logger: Logger;
}

export class CpuPlacement {
  readonly #parts: CpuPlacementParts;
  readonly #cpusets = new Map<string, readonly number[]>();
  #pinned = false;
  #turn: Promise<void> = Promise.resolve();

  constructor(parts: CpuPlacementParts) {
    this.#parts = parts;
  }

  /** A container has come, or its limits are others; one without a choice of CPUs leaves that to the others. */
  async follow(id: string, resources: LinuxResources): Promise<void> {
    const list = resources.cpu?.cpus;
    if (list === undefined) return;
    if (list === "") this.#cpusets.delete(id);
    else this.#cpusets.set(id, parseCpuList(list));
    await this.refresh();
  }

  async forget(id: string): Promise<void> {
    if (this.#cpusets.delete(id)) await this.refresh();
  }

  /** Places the threads anew: the machine may have others than before. */
  refresh(): Promise<void> {
    this.#turn = this.#turn
      .then(() => this.#place())
      .catch((error: unknown) => {
        this.#parts.logger.warn("the machine's CPUs are where the kernel puts them", {
          error: describeError(error),
        });
      });
    return this.#turn;
  }

  async #place(): Promise<void> {
    const { threads: read, group, pinning, hostCpus } = this.#parts;
    const threads = await read();
    group.add(threads);
    const union = unionOf([...this.#cpusets.values()]);
    group.setCpus(formatCpuList(union));
    const pins = pinning ? pinsOf(threads, union) : undefined;
    if (pins !== undefined) {
      for (const [thread, cpu] of pins) this.#set(thread, [cpu]);
      this.#pinned = true;
    } else if (this.#pinned) {
      for (const thread of threads) this.#set(thread, union.length > 0 ? union : hostCpus);
      this.#pinned = false;
    }
  }

  #set(thread: number, cpus: readonly number[]): void {
    try {
      this.#parts.setAffinity(thread, cpus);
    } catch (error) {
      // A CPU of the machine may have been taken out meanwhile.
      if (!hasErrno(error, "ESRCH")) throw error;
    }
  }
}

/** One CPU for each thread, if there are as many. */
export function pinsOf(
  threads: readonly number[],
  cpus: readonly number[],
): readonly (readonly [thread: number, cpu: number])[] | undefined {
  if (threads.length === 0 || threads.length !== cpus.length) return undefined;
  return threads.map((thread, index) => [thread, cpus[index] ?? 0]);
}

function unionOf(sets: readonly (readonly number[])[]): number[] {
  return [...new Set(sets.flat())].sort((a, b) => a - b);
}

/** Sorted numbers as a list, `0-3,7`. */
export function formatCpuList(cpus: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const cpu of cpus) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === cpu - 1) last[1] = cpu;
    else ranges.push([cpu, cpu]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}

/** The mask of sched_setaffinity(2), in whole words. */
export function affinityMask(cpus: readonly number[]): Uint8Array {
  const mask = new Uint8Array(8 * Math.ceil((Math.max(0, ...cpus) + 1) / 64));
  for (const cpu of cpus) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7));
  return mask;
}

/** @throws KataError `system-call`, ESRCH for a thread that has ended. */
export function setThreadAffinity(thread: number, cpus: readonly number[]): void {
  const mask = affinityMask(cpus);
  check(kernel().syscall("sched_setaffinity", thread, mask.length, mask), "set CPUs of", `thread ${thread}`);
}
