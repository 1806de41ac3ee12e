import { expect, test } from "vitest";
import { decodeMetrics as decodeV1 } from "../../../build/generated/cgroups-v1.ts";
import { decodeMetrics as decodeV2 } from "../../../build/generated/cgroups-v2.ts";
import type { ContainerStatistics } from "../../sandbox/types.ts";
import { encodeMetricsV1, encodeMetricsV2 } from "../generated.ts";
import { wireCounter } from "./memory-counters.ts";
import { metricsV1 } from "./metrics-v1.ts";
import { metricsV2 } from "./metrics-v2.ts";

/** Of a guest with version 2 of cgroups. */
const STATISTICS: ContainerStatistics = {
  cpu: {
    total: 3_000_500,
    user: 2_000_000,
    system: 1_000_500,
    perCpu: [1, 2],
    periods: 7,
    throttledPeriods: 3,
    throttledTime: 9_000_000,
  },
  memory: {
    usage: 5000,
    maximumUsage: 6000,
    limit: 2 ** 64,
    failures: 2,
    cache: 0,
    swapUsage: 11,
    swapLimit: 12,
    kernelUsage: 13,
    details: { anon: 100, file: 200, inactive_file: 50, active_file: 60, pgfault: 70, slab: 80 },
  },
  pids: { current: 4, limit: 10 },
  blockIo: {
    serviceBytes: [
      { major: 8, minor: 0, operation: "Read", value: 512 },
      { major: 8, minor: 0, operation: "Write", value: 1024 },
      { major: 8, minor: 1, operation: "read", value: 1 },
    ],
    serviced: [{ major: 8, minor: 0, operation: "Read", value: 2 }],
  },
  hugePages: { "2MB": { usage: 1, maximumUsage: 2, failures: 3 } },
  network: [
    {
      name: "eth0",
      receivedBytes: 1,
      receivedPackets: 2,
      receiveErrors: 3,
      receiveDropped: 4,
      sentBytes: 5,
      sentPackets: 6,
      sendErrors: 7,
      sendDropped: 8,
    },
  ],
};

test("metricsV1() tells everything in version 1's terms", () => {
  expect(decodeV1(encodeMetricsV1(metricsV1(STATISTICS)))).toMatchObject({
    cpu: {
      usage: { total: 3_000_500n, kernel: 1_000_500n, user: 2_000_000n, perCpu: [1n, 2n] },
      throttling: { periods: 7n, throttledPeriods: 3n, throttledTime: 9_000_000n },
    },
    memory: {
      cache: 200n,
      rss: 100n,
      totalInactiveFile: 50n,
      inactiveFile: 50n,
      totalActiveFile: 60n,
      totalPgFault: 70n,
      usage: { limit: (1n << 64n) - 1n, usage: 5000n, max: 6000n, failcnt: 2n },
      swap: { usage: 11n, limit: 12n },
      kernel: { usage: 13n },
    },
    pids: { current: 4n, limit: 10n },
    blkio: {
      ioServiceBytesRecursive: [
        { op: "Read", major: 8n, minor: 0n, value: 512n },
        { op: "Write", major: 8n, minor: 0n, value: 1024n },
        { op: "read", major: 8n, minor: 1n, value: 1n },
      ],
      ioServicedRecursive: [{ op: "Read", major: 8n, minor: 0n, value: 2n }],
    },
    hugetlb: [{ pagesize: "2MB", usage: 1n, max: 2n, failcnt: 3n }],
    network: [{ name: "eth0", rxBytes: 1n, rxDropped: 4n, txBytes: 5n, txDropped: 8n }],
  });
});

test("metricsV2() tells everything in version 2's terms", () => {
  expect(decodeV2(encodeMetricsV2(metricsV2(STATISTICS)))).toMatchObject({
    cpu: {
      usageUsec: 3000n,
      userUsec: 2000n,
      systemUsec: 1000n,
      nrPeriods: 7n,
      nrThrottled: 3n,
      throttledUsec: 9000n,
    },
    memory: {
      anon: 100n,
      file: 200n,
      inactiveFile: 50n,
      activeFile: 60n,
      slab: 80n,
      pgfault: 70n,
      usage: 5000n,
      usageLimit: (1n << 64n) - 1n,
      maxUsage: 6000n,
      swapUsage: 11n,
      swapLimit: 12n,
    },
    pids: { current: 4n, limit: 10n },
    io: {
      usage: [
        { major: 8n, minor: 0n, rbytes: 512n, wbytes: 1024n, rios: 2n, wios: 0n },
        { major: 8n, minor: 1n, rbytes: 1n, wbytes: 0n },
      ],
    },
    hugetlb: [{ pagesize: "2MB", current: 1n, max: 2n, failcnt: 3n }],
    memoryEvents: { max: 2n },
    network: [{ name: "eth0", rxBytes: 1n, txDropped: 8n }],
  });
});

test("both read a guest with version 1 of cgroups too", () => {
  const details = { total_rss: 1, rss: 2, total_cache: 3, cache: 4, total_inactive_file: 5 };
  const statistics = { ...STATISTICS, memory: { ...STATISTICS.memory, cache: 4, details } };
  expect(metricsV1(statistics).memory).toMatchObject({ rss: 2n, cache: 4n, totalRss: 1n, totalCache: 3n });
  expect(metricsV2(statistics).memory).toMatchObject({ anon: 1n, file: 3n, inactiveFile: 5n });
});

test.each([
  [undefined, undefined],
  [0, 0n],
  [-1, 0n],
  [1.9, 1n],
  [2 ** 53, 1n << 53n],
  [2 ** 63, 1n << 63n],
  [2 ** 64, (1n << 64n) - 1n],
  [Number.POSITIVE_INFINITY, (1n << 64n) - 1n],
  [Number.NaN, undefined],
])("wireCounter(%d) is %s", (value, expected) => {
  expect(wireCounter(value)).toBe(expected);
});
