/**
 * containerd's sandbox service: each call to the verb that does it, and its answer.
 * Source: containerd.runtime.sandbox.v1.Sandbox.
 */
import type { ContainerStatistics } from "../../sandbox/types.ts";
import { orCancelled } from "../../sys/cancellation.ts";
import type { PackedMessage } from "../any-type.ts";
import type { SandboxHandlers } from "../generated.ts";
import { podStatistics } from "../metrics/pod-statistics.ts";
import type { Pod } from "../pod/pod.ts";
import { timestampOf } from "../timestamp.ts";
import type { ControlledSandbox } from "./controlled-sandbox.ts";

export interface SandboxServiceFacts {
  /** As Go names it: `amd64`, `arm64`. */
  readonly architecture: string;
  /** Statistics in the form of the host's cgroups. */
  readonly packMetrics: (statistics: ContainerStatistics) => PackedMessage | Promise<PackedMessage>;
}

/** Source: Kubernetes CRI, PodSandboxState. */
const READY = "SANDBOX_READY";
const NOT_READY = "SANDBOX_NOTREADY";

export function sandboxHandlers(
  pod: Pod,
  sandbox: ControlledSandbox,
  facts: SandboxServiceFacts,
): SandboxHandlers {
  return {
    async createSandbox(request) {
      sandbox.create(request);
      return {};
    },

    async startSandbox({ sandboxId }, { signal }) {
      const { pid, since } = await sandbox.start(sandboxId, signal);
      return { pid, createdAt: timestampOf(since) };
    },

    async platform({ sandboxId }) {
      sandbox.status(sandboxId);
      return { platform: { os: "linux", architecture: facts.architecture } };
    },

    async stopSandbox({ sandboxId, timeoutSecs }) {
      await sandbox.stop(sandboxId, timeoutSecs === 0 ? undefined : timeoutSecs * 1000);
      return {};
    },

    async waitSandbox({ sandboxId }, { signal }) {
      const exit = await orCancelled(sandbox.wait(sandboxId), signal);
      return { exitStatus: exit.status, exitedAt: timestampOf(exit.at) };
    },

    async sandboxStatus({ sandboxId, verbose }) {
      const { isReady, pid, since, exit } = sandbox.status(sandboxId);
      return {
        sandboxId,
        pid,
        state: isReady ? READY : NOT_READY,
        ...(verbose ? { info: statusInfo(pod) } : {}),
        ...(since === undefined ? {} : { createdAt: timestampOf(since) }),
        ...(exit === undefined ? {} : { exitedAt: timestampOf(exit.at) }),
      };
    },

    async pingSandbox({ sandboxId }) {
      sandbox.mustBeReady(sandboxId);
      return {};
    },

    // Not of which sandbox: containerd also gives up by it what it could not create.
    async shutdownSandbox() {
      await sandbox.shutdown();
      return {};
    },

    async sandboxMetrics({ sandboxId }) {
      sandbox.mustBeReady(sandboxId);
      const counted = pod.containers.filter(({ init }) => init.state.name !== "stopped");
      const readings = await Promise.all(counted.map(({ id }) => pod.sandbox.stats(id)));
      const data = await facts.packMetrics(podStatistics(readings));
      return { metrics: { id: sandboxId, timestamp: timestampOf(pod.parts.wallClock()), data } };
    },
  };
}

/** What an administrator may want to know of a pod; values are JSON, as those of containerd's own. */
function statusInfo(pod: Pod): Map<string, string> {
  const containers = pod.containers.map(({ id, init }) => ({ id, state: init.state.name }));
  return new Map([["info", JSON.stringify({ hypervisorPid: pod.hypervisorPid, containers })]]);
}
