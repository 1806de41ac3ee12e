/** Statistics as containerd wants them. Loaded by the first who asks. */
import type { ContainerStatistics } from "../../sandbox/types.ts";
import type { PackedMessage } from "../any-type.ts";
import { encodeMetricsV1, encodeMetricsV2 } from "../generated.ts";
import { METRICS_V1_TYPE, metricsV1 } from "./metrics-v1.ts";
import { METRICS_V2_TYPE, metricsV2 } from "./metrics-v2.ts";

/** @param version of the host's cgroups, which containerd takes the guest's for. */
export function packMetrics(version: 1 | 2, statistics: ContainerStatistics): PackedMessage {
  return version === 2
    ? { typeUrl: METRICS_V2_TYPE, value: encodeMetricsV2(metricsV2(statistics)) }
    : { typeUrl: METRICS_V1_TYPE, value: encodeMetricsV1(metricsV1(statistics)) };
}
