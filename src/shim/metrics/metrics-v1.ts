/** A container's statistics as metrics of cgroups version 1. Source: containerd/cgroups, io.containerd.cgroups.v1.Metrics. */
import type { BlockIoCounter, ContainerStatistics } from "../../sandbox/types.ts";
import type { MetricsV1 } from "../generated.ts";
import { counter, wireCounter } from "./memory-counters.ts";

export const METRICS_V1_TYPE = "io.containerd.cgroups.v1.Metrics";

export function metricsV1({
  cpu,
  memory,
  pids,
  blockIo,
  hugePages,
  network,
}: ContainerStatistics): MetricsV1 {
  return {
    hugetlb: Object.entries(hugePages).map(([pagesize, { usage, maximumUsage, failures }]) => ({
      pagesize,
      usage: wireCounter(usage),
      max: wireCounter(maximumUsage),
      failcnt: wireCounter(failures),
    })),
    pids: { current: wireCounter(pids.current), limit: wireCounter(pids.limit) },
    cpu: {
      usage: {
        total: wireCounter(cpu.total),
        kernel: wireCounter(cpu.system),
        user: wireCounter(cpu.user),
        perCpu: cpu.perCpu.map((value) => wireCounter(value) ?? 0n),
      },
      throttling: {
        periods: wireCounter(cpu.periods),
        throttledPeriods: wireCounter(cpu.throttledPeriods),
        throttledTime: wireCounter(cpu.throttledTime),
      },
    },
    memory: memoryV1(memory),
    blkio: {
      ioServiceBytesRecursive: blockIo.serviceBytes.map(blockEntry),
      ioServicedRecursive: blockIo.serviced.map(blockEntry),
    },
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

function memoryV1(memory: ContainerStatistics["memory"]): MetricsV1["memory"] {
  const read = (...names: string[]) => wireCounter(counter(memory.details, ...names));
  return {
    cache: wireCounter(memory.cache) || read("cache", "file"),
    rss: read("rss", "anon"),
    rssHuge: read("rss_huge", "anon_thp"),
    mappedFile: read("mapped_file", "file_mapped"),
    dirty: read("dirty", "file_dirty"),
    writeback: read("writeback", "file_writeback"),
    pgPgIn: read("pgpgin"),
    pgPgOut: read("pgpgout"),
    pgFault: read("pgfault"),
    pgMajFault: read("pgmajfault"),
    inactiveAnon: read("inactive_anon"),
    activeAnon: read("active_anon"),
    inactiveFile: read("inactive_file"),
    activeFile: read("active_file"),
    unevictable: read("unevictable"),
    hierarchicalMemoryLimit: read("hierarchical_memory_limit"),
    hierarchicalSwapLimit: read("hierarchical_memsw_limit"),
    // Version 2 counts a group and all below it together, as these do.
    totalCache: read("total_cache", "file"),
    totalRss: read("total_rss", "anon"),
    totalRssHuge: read("total_rss_huge", "anon_thp"),
    totalMappedFile: read("total_mapped_file", "file_mapped"),
    totalDirty: read("total_dirty", "file_dirty"),
    totalWriteback: read("total_writeback", "file_writeback"),
    totalPgPgIn: read("total_pgpgin"),
    totalPgPgOut: read("total_pgpgout"),
    totalPgFault: read("total_pgfault", "pgfault"),
    totalPgMajFault: read("total_pgmajfault", "pgmajfault"),
    totalInactiveAnon: read("total_inactive_anon", "inactive_anon"),
    totalActiveAnon: read("total_active_anon", "active_anon"),
    totalInactiveFile: read("total_inactive_file", "inactive_file"),
    totalActiveFile: read("total_active_file", "active_file"),
    totalUnevictable: read("total_unevictable", "unevictable"),
    usage: {
      limit: wireCounter(memory.limit),
      usage: wireCounter(memory.usage),
      max: wireCounter(memory.maximumUsage),
      failcnt: wireCounter(memory.failures),
    },
    swap: { limit: wireCounter(memory.swapLimit), usage: wireCounter(memory.swapUsage) },
    kernel: { usage: wireCounter(memory.kernelUsage) },
  };
}

function blockEntry({ major, minor, operation, value }: BlockIoCounter) {
  return { op: operation, major: wireCounter(major), minor: wireCounter(minor), value: wireCounter(value) };
}
