/** What the containers of a pod use together, as one reading. */
import type { BlockIoCounter, ContainerStatistics } from "../../sandbox/types.ts";

const EMPTY: ContainerStatistics = {
  cpu: { total: 0, user: 0, system: 0, perCpu: [], periods: 0, throttledPeriods: 0, throttledTime: 0 },
  memory: {
    usage: 0,
    maximumUsage: 0,
    limit: 0,
    failures: 0,
    cache: 0,
    swapUsage: 0,
    swapLimit: 0,
    kernelUsage: 0,
    details: {},
  },
  pids: { current: 0, limit: 0 },
  blockIo: { serviceBytes: [], serviced: [] },
  hugePages: {},
  network: [],
};

/** The sum of readings. The network is the pod's, and the same in all of them. */
export function podStatistics(readings: readonly ContainerStatistics[]): ContainerStatistics {
  return readings.reduce(add, EMPTY);
}

function add(a: ContainerStatistics, b: ContainerStatistics): ContainerStatistics {
  return {
    cpu: {
      ...sumFields(a.cpu, b.cpu),
      perCpu: longer(a.cpu.perCpu, b.cpu.perCpu).map(
        (_, index) => (a.cpu.perCpu[index] ?? 0) + (b.cpu.perCpu[index] ?? 0),
      ),
    },
    memory: { ...sumFields(a.memory, b.memory), details: sumRecords(a.memory.details, b.memory.details) },
    pids: sumFields(a.pids, b.pids),
    blockIo: {
      serviceBytes: sumCounters(a.blockIo.serviceBytes, b.blockIo.serviceBytes),
      serviced: sumCounters(a.blockIo.serviced, b.blockIo.serviced),
    },
    hugePages: Object.fromEntries(
      [...new Set([...Object.keys(a.hugePages), ...Object.keys(b.hugePages)])].map((size) => [
        size,
        sumFields(
          a.hugePages[size] ?? { usage: 0, maximumUsage: 0, failures: 0 },
          b.hugePages[size] ?? { usage: 0, maximumUsage: 0, failures: 0 },
        ),
      ]),
    ),
    network: longer(a.network, b.network),
  };
}

function longer<T>(a: readonly T[], b: readonly T[]): readonly T[] {
  return b.length > a.length ? b : a;
}

/** Both, number by number; what is no number is the first one's. */
function sumFields<T extends object>(a: T, b: T): T {
  const numbers: Partial<Record<string, unknown>> = { ...b };
  const entries = Object.entries(a).map(([name, value]: [string, unknown]) => {
    const other = numbers[name];
    return [name, typeof value === "number" && typeof other === "number" ? value + other : value];
  });
  return Object.fromEntries(entries) as T;
}

function sumRecords(
  a: Readonly<Record<string, number>>,
  b: Readonly<Record<string, number>>,
): Record<string, number> {
  const sums: Record<string, number> = { ...a };
  for (const [name, value] of Object.entries(b)) sums[name] = (sums[name] ?? 0) + value;
  return sums;
}

function sumCounters(a: readonly BlockIoCounter[], b: readonly BlockIoCounter[]): BlockIoCounter[] {
  const sums = new Map<string, BlockIoCounter>();
  for (const counter of [...a, ...b]) {
    const key = `${counter.major}:${counter.minor} ${counter.operation}`;
    sums.set(key, { ...counter, value: counter.value + (sums.get(key)?.value ?? 0) });
  }
  return [...sums.values()];
}
