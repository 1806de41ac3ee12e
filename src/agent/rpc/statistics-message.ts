/** A container's statistics as the protocol's message. */
import type { BlockEntry, CgroupStatistics, LimitedUsage, UsageCounters } from "../cgroup/statistics.ts";
import type { InterfaceCounters } from "../guest/interface-counters.ts";
import type { StatsContainerResponseInput } from "./generated.ts";

/** @param network the pod's: containers have no network of their own. */
export function statisticsMessage(
  statistics: CgroupStatistics,
  network: readonly InterfaceCounters[],
): StatsContainerResponseInput {
  const { cpu, memory, pids, block, hugePages } = statistics;
  return {
    cgroupStats: {
      cpuStats: {
        cpuUsage: {
          totalUsage: cpu.total,
          percpuUsage: cpu.perCpu,
          usageInKernelmode: cpu.kernel,
          usageInUsermode: cpu.user,
        },
        throttlingData: {
          periods: cpu.periods,
          throttledPeriods: cpu.throttledPeriods,
          throttledTime: cpu.throttledTime,
        },
      },
      memoryStats: {
        cache: memory.cache,
        usage: usageMessage(memory.usage),
        swapUsage: usageMessage(memory.swap),
        kernelUsage: usageMessage(memory.kernel),
        useHierarchy: memory.useHierarchy,
        stats: memory.details,
      },
      pidsStats: { current: pids.current, limit: pids.limit },
      blkioStats: {
        ioServiceBytesRecursive: block.serviceBytes.map(blockMessage),
        ioServicedRecursive: block.serviced.map(blockMessage),
      },
      hugetlbStats: new Map([...hugePages].map(([size, usage]) => [size, hugePageMessage(usage)])),
    },
    networkStats: network.map(({ name, received, transmitted }) => ({
      name,
      rxBytes: received.bytes,
      rxPackets: received.packets,
      rxErrors: received.errors,
      rxDropped: received.dropped,
      txBytes: transmitted.bytes,
      txPackets: transmitted.packets,
      txErrors: transmitted.errors,
      txDropped: transmitted.dropped,
    })),
  };
}

function usageMessage({ usage, maxUsage, failures, limit }: LimitedUsage) {
  return { usage, maxUsage, failcnt: failures, limit };
}

function hugePageMessage({ usage, maxUsage, failures }: UsageCounters) {
  return { usage, maxUsage, failcnt: failures };
}

function blockMessage({ major, minor, operation, value }: BlockEntry) {
  return { major: BigInt(major), minor: BigInt(minor), op: operation, value };
}
