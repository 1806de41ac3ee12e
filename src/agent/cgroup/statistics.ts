/** What a container has used, whatever the version of cgroups, and how the kernel's files tell it. */

export interface CgroupStatistics {
  readonly cpu: CpuStatistics;
  readonly memory: MemoryStatistics;
  readonly pids: PidsStatistics;
  readonly block: BlockStatistics;
  /** By page size (`2MB`). */
  readonly hugePages: ReadonlyMap<string, UsageCounters>;
}

/** Nanoseconds. */
export interface CpuStatistics {
  readonly total: bigint;
  readonly perCpu: readonly bigint[];
  readonly kernel: bigint;
  readonly user: bigint;
  readonly periods: bigint;
  readonly throttledPeriods: bigint;
  readonly throttledTime: bigint;
}

/** Bytes, but for the count of failures. */
export interface UsageCounters {
  readonly usage: bigint;
  readonly maxUsage: bigint;
  readonly failures: bigint;
}

export interface LimitedUsage extends UsageCounters {
  /** The kernel's largest number for "no limit". */
  readonly limit: bigint;
}

export interface MemoryStatistics {
  readonly cache: bigint;
  readonly usage: LimitedUsage;
  /** Memory and swap together. */
  readonly swap: LimitedUsage;
  readonly kernel: LimitedUsage;
  readonly useHierarchy: boolean;
  /** The lines of memory.stat. */
  readonly details: ReadonlyMap<string, bigint>;
}

export interface PidsStatistics {
  readonly current: bigint;
  /** 0 for no limit. */
  readonly limit: bigint;
}

export interface BlockEntry {
  readonly major: number;
  readonly minor: number;
  /** `Read`, `Write`, … */
  readonly operation: string;
  readonly value: bigint;
}

export interface BlockStatistics {
  readonly serviceBytes: readonly BlockEntry[];
  readonly serviced: readonly BlockEntry[];
}

export const NO_USAGE: LimitedUsage = { usage: 0n, maxUsage: 0n, failures: 0n, limit: 0n };

/** "No limit" of version 2 as upstream's readers expect it: the largest 64-bit number. */
export const UNLIMITED = 0xffff_ffff_ffff_ffffn;

/** A number of the kernel's; `max`, a missing file and what is no number are `otherwise`. */
export function parseCount(text: string | undefined, otherwise = 0n): bigint {
  return text !== undefined && /^\d{1,20}$/.test(text) ? BigInt(text) : otherwise;
}

/** Lines of `name number`. */
export function parseFlatKeyed(text: string | undefined): Map<string, bigint> {
  const values = new Map<string, bigint>();
  for (const line of (text ?? "").split("\n")) {
    const blank = line.indexOf(" ");
    const number = line.slice(blank + 1);
    if (blank > 0 && /^\d{1,20}$/.test(number)) values.set(line.slice(0, blank), BigInt(number));
  }
  return values;
}

/** Lines of `8:0 Read 123` (version 1); sums over all devices are left out. */
export function parseBlockLines(text: string | undefined): BlockEntry[] {
  const entries: BlockEntry[] = [];
  for (const [, major, minor, operation = "", value = ""] of (text ?? "").matchAll(
    /^(\d+):(\d+) ([A-Za-z]+) (\d+)$/gm,
  )) {
    entries.push({ major: Number(major), minor: Number(minor), operation, value: BigInt(value) });
  }
  return entries;
}

/** Lines of `8:0 rbytes=1 wbytes=2 rios=3 …` (version 2). */
export function parseIoStat(text: string | undefined): BlockStatistics {
  const serviceBytes: BlockEntry[] = [];
  const serviced: BlockEntry[] = [];
  for (const [, major, minor, rest = ""] of (text ?? "").matchAll(/^(\d+):(\d+) (.*)$/gm)) {
    for (const [, key, value = ""] of rest.matchAll(/(\w+)=(\d+)/g)) {
      const entry = (operation: string): BlockEntry => ({
        major: Number(major),
        minor: Number(minor),
        operation,
        value: BigInt(value),
      });
      if (key === "rbytes") serviceBytes.push(entry("Read"));
      else if (key === "wbytes") serviceBytes.push(entry("Write"));
      else if (key === "rios") serviced.push(entry("Read"));
      else if (key === "wios") serviced.push(entry("Write"));
    }
  }
  return { serviceBytes, serviced };
}
