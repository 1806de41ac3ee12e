/** A container's statistics as metrics of cgroups version 2. Source: containerd/cgroups, io.containerd.cgroups.v2.Metrics. */
import type { BlockIoCounter, ContainerStatistics } from "../../sandbox/types.ts";
import type { MetricsV2 } from "../generated.ts";
import { counter, wireCounter } from "./memory-counters.ts";

export const METRICS_V2_TYPE = "io.containerd.cgroups.v2.Metrics";

const NANOSECONDS_PER_MICROSECOND = 1000;

export function metricsV2({
  cpu,
  memory,
  pids,
  blockIo,
  hugePages,
  network,
}: ContainerStatistics): MetricsV2 {
  const microseconds = (nanoseconds: number) => wireCounter(nanoseconds / NANOSECONDS_PER_MICROSECOND);
  return {
    pids: { current: wireCounter(pids.current), limit: wireCounter(pids.limit) },
    cpu: {
      usageUsec: microseconds(cpu.total),
      userUsec: microseconds(cpu.user),
      systemUsec: microseconds(cpu.system),
      nrPeriods: wireCounter(cpu.periods),
      nrThrottled: wireCounter(cpu.throttledPeriods),
      throttledUsec: microseconds(cpu.throttledTime),
    },
    memory: memoryV2(memory),
    io: { usage: blockDevices(blockIo) },
    hugetlb: Object.entries(hugePages).map(([pagesize, { usage, maximumUsage, failures }]) => ({
      pagesize,
      current: wireCounter(usage),
      max: wireCounter(maximumUsage),
      failcnt: wireCounter(failures),
    })),
    memoryEvents: { max: wireCounter(memory.failures) },
    network: network.map((link) => ({
      name: link.name,
      rxBytes: wireCounter(link.receivedBytes),
      rxPackets: wireCounter(link.receivedPackets),
      rxErrors: wireCounter(link.receiveErrors),
      rxDropped: wireCounter(link.receiveDropped),
      txBytes: wireCounter(link.sentBytes),
      txPackets: wireCounter(link.sentPackets),
      txErrors: wireCounter(link.sendErrors),
      txDropped: wireCounter(link.sendDropped),
    })),
  };
}

function memoryV2(memory: ContainerStatistics["memory"]): MetricsV2["memory"] {
  const read = (...names: string[]) => wireCounter(counter(memory.details, ...names));
  return {
    anon: read("anon", "total_rss", "rss"),
    file: read("file", "total_cache", "cache"),
    kernelStack: read("kernel_stack"),
    slab: read("slab"),
    sock: read("sock"),
    shmem: read("shmem"),
    fileMapped: read("file_mapped", "total_mapped_file", "mapped_file"),
    fileDirty: read("file_dirty", "total_dirty", "dirty"),
    fileWriteback: read("file_writeback", "total_writeback", "writeback"),
    anonThp: read("anon_thp", "total_rss_huge", "rss_huge"),
    inactiveAnon: read("inactive_anon", "total_inactive_anon"),
    activeAnon: read("active_anon", "total_active_anon"),
    inactiveFile: read("inactive_file", "total_inactive_file"),
    activeFile: read("active_file", "total_active_file"),
    unevictable: read("unevictable", "total_unevictable"),
    slabReclaimable: read("slab_reclaimable"),
    slabUnreclaimable: read("slab_unreclaimable"),
    pgfault: read("pgfault", "total_pgfault"),
    pgmajfault: read("pgmajfault", "total_pgmajfault"),
    usage: wireCounter(memory.usage),
    usageLimit: wireCounter(memory.limit),
    swapUsage: wireCounter(memory.swapUsage),
    swapLimit: wireCounter(memory.swapLimit),
    maxUsage: wireCounter(memory.maximumUsage),
  };
}

interface DeviceCounters {
  readonly major: bigint | undefined;
  readonly minor: bigint | undefined;
  rbytes?: bigint | undefined;
  wbytes?: bigint | undefined;
  rios?: bigint | undefined;
  wios?: bigint | undefined;
}

/** One entry a device, from the counters that are listed by operation. */
function blockDevices({ serviceBytes, serviced }: ContainerStatistics["blockIo"]): DeviceCounters[] {
  const devices = new Map<string, DeviceCounters>();
  const deviceOf = ({ major, minor }: BlockIoCounter): DeviceCounters => {
    const key = `${major}:${minor}`;
    const known = devices.get(key) ?? { major: wireCounter(major), minor: wireCounter(minor) };
    devices.set(key, known);
    return known;
  };
  for (const entry of serviceBytes) {
    const operation = entry.operation.toLowerCase();
    if (operation === "read") deviceOf(entry).rbytes = wireCounter(entry.value);
    if (operation === "write") deviceOf(entry).wbytes = wireCounter(entry.value);
  }
  for (const entry of serviced) {
    const operation = entry.operation.toLowerCase();
    if (operation === "read") deviceOf(entry).rios = wireCounter(entry.value);
    if (operation === "write") deviceOf(entry).wios = wireCounter(entry.value);
  }
  return [...devices.values()];
}
