/** The calls about the pod as a whole. */
import { KataError } from "../../kata-error.ts";
import { startTrace } from "../../sys/trace.ts";
import { terminationLog } from "../guest/diagnostic-data.ts";
import { TRACE_LOG, traceText } from "../guest/trace-log.ts";
import { volumeUsage } from "../guest/volume-statistics.ts";
import { SHARED_DIRECTORY } from "../sandbox/paths.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import { remountEphemeral } from "../storage/remount.ts";
import { type AgentServiceHandlers, VolumeUnit } from "./generated.ts";
import { networkOf } from "./network-calls.ts";
import { decodeStorages } from "./storage-message.ts";

type SandboxCalls = Pick<
  AgentServiceHandlers,
  | "createSandbox"
  | "destroySandbox"
  | "updateEphemeralMounts"
  | "getOOMEvent"
  | "copyFile"
  | "getVolumeStats"
  | "resizeVolume"
  | "getMetrics"
  | "getDiagnosticData"
  | "removeStaleVirtiofsShareMounts"
>;

/** @param onDestroyed runs after the pod is destroyed and before the host hears of it. */
export function sandboxCalls(sandbox: Sandbox, onDestroyed: () => void): SandboxCalls {
  return {
    async createSandbox(request) {
      if (request.trace) startTrace({ calls: "guest calls", work: "guest" });
      await sandbox.create({
        id: request.sandboxId,
        hostname: request.hostname,
        dns: request.dns,
        storages: decodeStorages(request.storages),
        sharedPidNamespace: request.sandboxPidns,
        modules: request.kernelModules,
        guestHookPath: request.guestHookPath,
        prepare: request.prepare,
        identity: request.identity,
        network: networkOf(request),
        parkCards: request.parkInterfaces,
      });
      return {};
    },

    async destroySandbox() {
      await sandbox.destroy();
      onDestroyed();
      return {};
    },

    async updateEphemeralMounts(request) {
      for (const storage of decodeStorages(request.storages)) remountEphemeral(storage);
      return {};
    },

    async getOOMEvent(_request, context) {
      return { containerId: await sandbox.nextOom(context.signal) };
    },

    async copyFile(request) {
      const { copyFile } = await import("../guest/copy-file.ts");
      copyFile(SHARED_DIRECTORY, {
        path: request.path,
        fileSize: Number(request.fileSize),
        fileMode: request.fileMode,
        directoryMode: request.dirMode,
        uid: request.uid,
        gid: request.gid,
        offset: Number(request.offset),
        data: request.data,
      });
      return {};
    },

    async getVolumeStats(request) {
      const usage = volumeUsage(request.volumeGuestPath).map(({ unit, total, available, used }) => ({
        unit: unit === "bytes" ? VolumeUnit.BYTES : VolumeUnit.INODES,
        total: BigInt(total),
        available: BigInt(available),
        used: BigInt(used),
      }));
      return { usage, volumeCondition: { abnormal: false, message: "OK" } };
    },

    async resizeVolume(request) {
      const path = request.volumeGuestPath;
      if (!sandbox.storages.mountPoints.includes(path)) {
        throw new KataError("not-found", {
          operation: "resize volume",
          object: JSON.stringify(path.slice(0, 256)),
          hint: "it is no storage of this pod",
        });
      }
      const { resizeVolume } = await import("../guest/resize-volume.ts");
      await resizeVolume(path, BigInt(request.size), sandbox.context.settings.hotplugTimeoutMs);
      return {};
    },

    async getMetrics() {
      // What asks for it is a tool of the host, now and then.
      const { collectMetrics } = await import("../guest/metrics.ts");
      return { metrics: collectMetrics() };
    },

    async getDiagnosticData(request) {
      if (request.logType === TRACE_LOG) return { data: traceText() };
      if (request.logType !== "termination_log") {
        throw new KataError("invalid-argument", {
          operation: "get diagnostic data",
          object: JSON.stringify(request.logType),
          hint: `the agent has termination_log and ${TRACE_LOG}`,
        });
      }
      return { data: terminationLog(sandbox.container(request.containerId).spec) };
    },

    async removeStaleVirtiofsShareMounts() {
      sandbox.storages.refresh();
      return {};
    },
  };
}
