/**
 * A container's statistics as `events` writes them, from what the shim tells containerd.
 * Source: runc, `types.Stats`; the shim tells cgroup v1 or v2 metrics, whichever the host has.
 */
import { KataError } from "../../kata-error.ts";
import { messageName, type PackedMessage } from "../../shim/any-type.ts";
import {
  decodeMetricsV1,
  decodeMetricsV2,
  type ReadMetricsV1,
  type ReadMetricsV2,
} from "../../shim/generated.ts";
import { METRICS_V1_TYPE } from "../../shim/metrics/metrics-v1.ts";
import { METRICS_V2_TYPE } from "../../shim/metrics/metrics-v2.ts";

type Counter = bigint | number | undefined;

const MICROSECOND_NS = 1000n;

/** A counter as JSON has it: the largest that a number is sure to hold is as good as unlimited. */
function counter(value: Counter): number {
  const big = BigInt(value ?? 0);
  return Number(big > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : big);
}

export interface StatsData {
  readonly cpu: object;
  readonly memory: object;
  readonly pids: object;
  readonly blkio: object;
  readonly hugetlb: object;
  readonly network_interfaces: readonly object[];
}

/** @throws KataError `malformed-message` for metrics of another kind. */
export function statsData({ typeUrl, value }: PackedMessage): StatsData {
  const name = messageName(typeUrl);
  if (name === METRICS_V1_TYPE) return fromV1(decodeMetricsV1(value));
  if (name === METRICS_V2_TYPE) return fromV2(decodeMetricsV2(value));
  throw new KataError("malformed-message", {
    operation: "read statistics",
    object: `metrics of type ${name}`,
  });
}

function fromV1({ cpu, memory, pids, blkio, hugetlb, network }: ReadMetricsV1): StatsData {
  return {
    cpu: {
      usage: {
        total: counter(cpu?.usage?.total),
        percpu: (cpu?.usage?.perCpu ?? []).map(counter),
        kernel: counter(cpu?.usage?.kernel),
        user: counter(cpu?.usage?.user),
      },
      throttling: {
        periods: counter(cpu?.throttling?.periods),
        throttledPeriods: counter(cpu?.throttling?.throttledPeriods),
        throttledTime: counter(cpu?.throttling?.throttledTime),
      },
    },
    memory: {
      cache: counter(memory?.cache),
      usage: {
        limit: counter(memory?.usage?.limit),
        usage: counter(memory?.usage?.usage),
        max: counter(memory?.usage?.max),
        failcnt: counter(memory?.usage?.failcnt),
      },
      swap: { limit: counter(memory?.swap?.limit), usage: counter(memory?.swap?.usage), failcnt: 0 },
      kernel: { limit: 0, usage: counter(memory?.kernel?.usage), failcnt: 0 },
      kernelTCP: { limit: 0, failcnt: 0 },
      raw: { rss: counter(memory?.rss), cache: counter(memory?.cache), pgfault: counter(memory?.pgFault) },
    },
    pids: { current: counter(pids?.current), limit: counter(pids?.limit) },
    blkio: {
      ioServiceBytesRecursive: (blkio?.ioServiceBytesRecursive ?? []).map(blockEntry),
      ioServicedRecursive: (blkio?.ioServicedRecursive ?? []).map(blockEntry),
    },
    hugetlb: hugePages(hugetlb.map((each) => ({ ...each, size: each.pagesize }))),
    network_interfaces: network.map((link) => interfaceEntry(link)),
  };
}

function fromV2({ cpu, memory, pids, io, hugetlb, network }: ReadMetricsV2): StatsData {
  const nanoseconds = (value: Counter) => counter(BigInt(value ?? 0) * MICROSECOND_NS);
  return {
    cpu: {
      usage: {
        total: nanoseconds(cpu?.usageUsec),
        percpu: [],
        kernel: nanoseconds(cpu?.systemUsec),
        user: nanoseconds(cpu?.userUsec),
      },
      throttling: {
        periods: counter(cpu?.nrPeriods),
        throttledPeriods: counter(cpu?.nrThrottled),
        throttledTime: nanoseconds(cpu?.throttledUsec),
      },
    },
    memory: {
      cache: counter(memory?.file),
      usage: {
        limit: counter(memory?.usageLimit),
        usage: counter(memory?.usage),
        max: counter(memory?.maxUsage),
        failcnt: 0,
      },
      swap: { limit: counter(memory?.swapLimit), usage: counter(memory?.swapUsage), failcnt: 0 },
      kernel: { limit: 0, usage: counter(memory?.kernelStack), failcnt: 0 },
      kernelTCP: { limit: 0, failcnt: 0 },
      raw: { anon: counter(memory?.anon), file: counter(memory?.file), pgfault: counter(memory?.pgfault) },
    },
    pids: { current: counter(pids?.current), limit: counter(pids?.limit) },
    blkio: {
      ioServiceBytesRecursive: (io?.usage ?? []).flatMap(({ major, minor, rbytes, wbytes }) => [
        blockEntry({ major, minor, op: "Read", value: rbytes }),
        blockEntry({ major, minor, op: "Write", value: wbytes }),
      ]),
      ioServicedRecursive: (io?.usage ?? []).flatMap(({ major, minor, rios, wios }) => [
        blockEntry({ major, minor, op: "Read", value: rios }),
        blockEntry({ major, minor, op: "Write", value: wios }),
      ]),
    },
    hugetlb: hugePages(
      hugetlb.map(({ current, max, pagesize }) => ({ usage: current, max, failcnt: 0, size: pagesize })),
    ),
    network_interfaces: network.map((link) => interfaceEntry(link)),
  };
}

interface BlockEntry {
  readonly major: Counter;
  readonly minor: Counter;
  readonly op: string;
  readonly value: Counter;
}

function blockEntry({ major, minor, op, value }: BlockEntry) {
  return { major: counter(major), minor: counter(minor), op, value: counter(value) };
}

function hugePages(
  pages: readonly {
    readonly size: string;
    readonly usage: Counter;
    readonly max: Counter;
    readonly failcnt: Counter;
  }[],
): object {
  return Object.fromEntries(
    pages.map(({ size, usage, max, failcnt }) => [
      size,
      { usage: counter(usage), max: counter(max), failcnt: counter(failcnt) },
    ]),
  );
}

interface LinkEntry {
  readonly name: string;
  readonly rxBytes: bigint;
  readonly rxPackets: bigint;
  readonly rxErrors: bigint;
  readonly rxDropped: bigint;
  readonly txBytes: bigint;
  readonly txPackets: bigint;
  readonly txErrors: bigint;
  readonly txDropped: bigint;
}

function interfaceEntry(link: LinkEntry): object {
  return {
    Name: link.name,
    RxBytes: counter(link.rxBytes),
    RxPackets: counter(link.rxPackets),
    RxErrors: counter(link.rxErrors),
    RxDropped: counter(link.rxDropped),
    TxBytes: counter(link.txBytes),
    TxPackets: counter(link.txPackets),
    TxErrors: counter(link.txErrors),
    TxDropped: counter(link.txDropped),
  };
}
