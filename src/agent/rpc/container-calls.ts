/** The calls about containers as a whole. */
import { KataError } from "../../kata-error.ts";
import { resourcesFromMessage, specFromMessage } from "../../oci/wire.ts";
import { tracedNow } from "../../sys/trace.ts";
import { readInterfaceCounters } from "../guest/interface-counters.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import type { AgentServiceHandlers } from "./generated.ts";
import { refusePassedStreams, required } from "./request-checks.ts";
import { statisticsMessage } from "./statistics-message.ts";
import { decodeStorages } from "./storage-message.ts";

type ContainerCalls = Pick<
  AgentServiceHandlers,
  | "createContainer"
  | "startContainer"
  | "removeContainer"
  | "updateContainer"
  | "statsContainer"
  | "pauseContainer"
  | "resumeContainer"
>;

export function containerCalls(sandbox: Sandbox): ContainerCalls {
  return {
    async createContainer(request) {
      refusePassedStreams(request);
      refuseSharedMounts(request.sharedMounts.length);
      const message = required(request.OCI, "create container", "OCI");
      await sandbox.createContainer({
        id: request.containerId,
        spec: tracedNow("guest", "read specification", () => specFromMessage(message)),
        devices: request.devices.map(({ type, id, vmPath, containerPath, options }) => ({
          type,
          id,
          guestPath: vmPath,
          containerPath,
          options,
        })),
        storages: decodeStorages(request.storages),
        sharedPidNamespace: request.sandboxPidns,
      });
      return {};
    },

    async startContainer(request) {
      await sandbox.startContainer(request.containerId);
      return {};
    },

    async removeContainer(request) {
      await sandbox.removeContainer(request.containerId, request.timeout * 1000);
      return {};
    },

    async updateContainer(request) {
      const resources = resourcesFromMessage(required(request.resources, "update container", "resources"));
      const { cgroup } = sandbox.container(request.containerId);
      cgroup.apply(resources);
      if ((resources.devices?.length ?? 0) > 0) cgroup.restrictDevices(resources);
      return {};
    },

    async statsContainer(request) {
      const container = sandbox.container(request.containerId);
      if (request.onlyProcesses) return { processes: container.processes() };
      return statisticsMessage(container.cgroup.statistics(), readInterfaceCounters());
    },

    async pauseContainer(request) {
      await sandbox.container(request.containerId).pause();
      return {};
    },

    async resumeContainer(request) {
      await sandbox.container(request.containerId).resume();
      return {};
    },
  };
}

/** Mounts of one container that appear in another are not offered; a container that counts on one would lose data. */
function refuseSharedMounts(count: number): void {
  if (count === 0) return;
  throw new KataError("unimplemented", { operation: "create container", object: `${count} shared mounts` });
}
