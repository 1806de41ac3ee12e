/** The agent's counters of a container as the sandbox's. */
import type { BlkioStatsEntry, StatsContainerResponse } from "./generated.ts";
import type { BlockIoCounter, ContainerStatistics } from "./types.ts";

/** Counters beyond 2^53 lose their last bits: no container comes near it, and "no limit" stays beyond every machine. */
export function containerStatistics(message: StatsContainerResponse): ContainerStatistics {
  const { cpuStats, memoryStats, pidsStats, blkioStats, hugetlbStats } = message.cgroupStats ?? {};
  const usage = cpuStats?.cpuUsage;
  const throttling = cpuStats?.throttlingData;
  return {
    cpu: {
      total: count(usage?.totalUsage),
      user: count(usage?.usageInUsermode),
      system: count(usage?.usageInKernelmode),
      perCpu: usage?.percpuUsage.map(count) ?? [],
      periods: count(throttling?.periods),
      throttledPeriods: count(throttling?.throttledPeriods),
      throttledTime: count(throttling?.throttledTime),
    },
    memory: {
      usage: count(memoryStats?.usage?.usage),
      maximumUsage: count(memoryStats?.usage?.maxUsage),
      limit: count(memoryStats?.usage?.limit),
      failures: count(memoryStats?.usage?.failcnt),
      cache: count(memoryStats?.cache),
      swapUsage: count(memoryStats?.swapUsage?.usage),
      swapLimit: count(memoryStats?.swapUsage?.limit),
      kernelUsage: count(memoryStats?.kernelUsage?.usage),
      details: Object.fromEntries(
        [...(memoryStats?.stats ?? [])].map(([name, value]) => [name, count(value)]),
      ),
    },
    pids: { current: count(pidsStats?.current), limit: count(pidsStats?.limit) },
    blockIo: {
      serviceBytes: blkioStats?.ioServiceBytesRecursive.map(blockCounter) ?? [],
      serviced: blkioStats?.ioServicedRecursive.map(blockCounter) ?? [],
    },
    hugePages: Object.fromEntries(
      [...(hugetlbStats ?? [])].map(([size, { usage, maxUsage, failcnt }]) => [
        size,
        { usage: count(usage), maximumUsage: count(maxUsage), failures: count(failcnt) },
      ]),
    ),
    network: message.networkStats.map((link) => ({
      name: link.name,
      receivedBytes: count(link.rxBytes),
      receivedPackets: count(link.rxPackets),
      receiveErrors: count(link.rxErrors),
      receiveDropped: count(link.rxDropped),
      sentBytes: count(link.txBytes),
      sentPackets: count(link.txPackets),
      sendErrors: count(link.txErrors),
      sendDropped: count(link.txDropped),
    })),
  };
}

function count(value: bigint | undefined): number {
  return Number(value ?? 0n);
}

function blockCounter({ major, minor, op, value }: BlkioStatsEntry): BlockIoCounter {
  return { major: count(major), minor: count(minor), operation: op, value: count(value) };
}
