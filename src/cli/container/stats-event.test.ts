import { expect, test } from "vitest";
import { encodeMetricsV1, encodeMetricsV2 } from "../../shim/generated.ts";
import { METRICS_V1_TYPE } from "../../shim/metrics/metrics-v1.ts";
import { METRICS_V2_TYPE } from "../../shim/metrics/metrics-v2.ts";
import { statsData } from "./stats-event.ts";

const LINK = {
  name: "eth0",
  rxBytes: 1,
  rxPackets: 2,
  rxErrors: 3,
  rxDropped: 4,
  txBytes: 5,
  txPackets: 6,
  txErrors: 7,
  txDropped: 8,
};
const SHOWN_LINK = {
  Name: "eth0",
  RxBytes: 1,
  RxPackets: 2,
  RxErrors: 3,
  RxDropped: 4,
  TxBytes: 5,
  TxPackets: 6,
  TxErrors: 7,
  TxDropped: 8,
};

test("statistics of a host with cgroup v1 and of one with v2 have runc's shape, in nanoseconds and bytes", () => {
  const v1 = encodeMetricsV1({
    cpu: {
      usage: { total: 30, kernel: 10, user: 20, perCpu: [30n] },
      throttling: { periods: 1, throttledPeriods: 2, throttledTime: 3 },
    },
    memory: {
      cache: 4,
      rss: 5,
      pgFault: 6,
      usage: { limit: (1n << 63n) - 1n, usage: 7, max: 8, failcnt: 9 },
      swap: { limit: 10, usage: 11 },
      kernel: { usage: 12 },
    },
    pids: { current: 2, limit: 100 },
    blkio: {
      ioServiceBytesRecursive: [{ major: 8, minor: 1, op: "Read", value: 13 }],
      ioServicedRecursive: [],
    },
    hugetlb: [{ pagesize: "2MB", usage: 1, max: 2, failcnt: 3 }],
    network: [LINK],
  });
  expect(statsData({ typeUrl: METRICS_V1_TYPE, value: v1 })).toEqual({
    cpu: {
      usage: { total: 30, percpu: [30], kernel: 10, user: 20 },
      throttling: { periods: 1, throttledPeriods: 2, throttledTime: 3 },
    },
    memory: {
      cache: 4,
      usage: { limit: Number.MAX_SAFE_INTEGER, usage: 7, max: 8, failcnt: 9 },
      swap: { limit: 10, usage: 11, failcnt: 0 },
      kernel: { limit: 0, usage: 12, failcnt: 0 },
      kernelTCP: { limit: 0, failcnt: 0 },
      raw: { rss: 5, cache: 4, pgfault: 6 },
    },
    pids: { current: 2, limit: 100 },
    blkio: {
      ioServiceBytesRecursive: [{ major: 8, minor: 1, op: "Read", value: 13 }],
      ioServicedRecursive: [],
    },
    hugetlb: { "2MB": { usage: 1, max: 2, failcnt: 3 } },
    network_interfaces: [SHOWN_LINK],
  });

  const v2 = encodeMetricsV2({
    cpu: { usageUsec: 3, systemUsec: 1, userUsec: 2, nrPeriods: 4, nrThrottled: 5, throttledUsec: 6 },
    memory: {
      file: 4,
      anon: 5,
      pgfault: 6,
      usage: 7,
      usageLimit: 8,
      maxUsage: 9,
      swapUsage: 10,
      swapLimit: 11,
      kernelStack: 12,
    },
    pids: { current: 2, limit: 100 },
    io: { usage: [{ major: 8, minor: 1, rbytes: 13, wbytes: 14, rios: 15, wios: 16 }] },
    hugetlb: [{ pagesize: "2MB", current: 1, max: 2 }],
    network: [LINK],
  });
  const entry = { major: 8, minor: 1 };
  expect(statsData({ typeUrl: METRICS_V2_TYPE, value: v2 })).toEqual({
    cpu: {
      usage: { total: 3000, percpu: [], kernel: 1000, user: 2000 },
      throttling: { periods: 4, throttledPeriods: 5, throttledTime: 6000 },
    },
    memory: {
      cache: 4,
      usage: { limit: 8, usage: 7, max: 9, failcnt: 0 },
      swap: { limit: 11, usage: 10, failcnt: 0 },
      kernel: { limit: 0, usage: 12, failcnt: 0 },
      kernelTCP: { limit: 0, failcnt: 0 },
      raw: { anon: 5, file: 4, pgfault: 6 },
    },
    pids: { current: 2, limit: 100 },
    blkio: {
      ioServiceBytesRecursive: [
        { ...entry, op: "Read", value: 13 },
        { ...entry, op: "Write", value: 14 },
      ],
      ioServicedRecursive: [
        { ...entry, op: "Read", value: 15 },
        { ...entry, op: "Write", value: 16 },
      ],
    },
    hugetlb: { "2MB": { usage: 1, max: 2, failcnt: 0 } },
    network_interfaces: [SHOWN_LINK],
  });
});

test("metrics of another kind are refused", () => {
  expect(() => statsData({ typeUrl: "example.Metrics", value: new Uint8Array(0) })).toThrowError(
    expect.objectContaining({ code: "malformed-message" }),
  );
});
