/** What the management interface is told of a pod. */
import type { Sandbox } from "../../sandbox/types.ts";
import type { Durations } from "../../sys/metrics/prometheus-text.ts";
import type { Container } from "../pod/container.ts";

export interface ManagedPod {
  readonly sandbox: Sandbox;
  /** Of the shim. */
  readonly pid: number;
  readonly containers: () => readonly Container[];
  /** How long calls of the container manager took. */
  readonly calls: Durations;
  /** The shim's last words, line by line. */
  readonly log: () => string;
}
