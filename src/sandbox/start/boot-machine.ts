/** A pod's machine, booted for it: the slow way, which every host has. */
import { orCancelled, throwIfCancelled } from "../../sys/cancellation.ts";
import { loop } from "../../sys/event-loop.ts";
import type { Rollback } from "../../sys/rollback.ts";
import type { AgentConnection } from "../agent-client.ts";
import { qemu } from "../hypervisor/qemu/driver.ts";
import type { DiskDevice, MachineSpec } from "../hypervisor/types.ts";
import type { PodNetwork } from "../network/pod-network.ts";
import { makeInitdataDisk } from "../owner-data.ts";
import { reachAgent } from "./reach-agent.ts";
import {
  joinNetwork,
  makeShare,
  podMessage,
  type StartedMachine,
  type StartRequest,
  serveFiles,
  setPodPolicy,
  shareDevice,
  together,
  watchStart,
} from "./start-parts.ts";

/** Boots `spec`, the machine without devices. What it acquires is undone by `undo`. */
export async function bootMachine(
  start: StartRequest,
  spec: MachineSpec,
  undo: Rollback,
): Promise<StartedMachine> {
  const { request, settings, record } = start;
  const { logger, signal } = request;
  const share = makeShare(start.paths, undo);
  const [fileServer, podNetwork] = await together(serveFiles(start, share, undo), joinNetwork(start, undo));
  throwIfCancelled(signal);
  const devices = [shareDevice(fileServer, settings), ...podNetwork.devices, ...initdataDisk(start)];
  const machine = await qemu.boot({ ...spec, devices }, { clock: loop, logger, signal });
  undo.add("virtual machine", () => machine.stop());
  fileServer.connection.close();
  podNetwork.closeDescriptors();
  record.addProcess("virtiofsd", fileServer.program.pid);
  record.addProcess("QEMU", machine.pid);
  const booting = loop.now();

  const watch = watchStart(machine, settings, fileServer);
  const agent = await reachAgent(machine, watch, settings.dialTimeoutMs, signal);
  undo.add("connection to the agent", () => agent.close());
  const booted = loop.now();
  // The guest may wait for ever for a file server that has ended.
  const setUp = setUpGuest(agent, podNetwork, start);
  await orCancelled(Promise.race([setUp, watch.ended]), signal);
  logger.debug("guest was booted", {
    boot_ms: Math.round(booted - booting),
    setup_ms: Math.round(loop.now() - booted),
  });
  return { machine, agent, share, fileServerEnded: fileServer.program.exited };
}

function initdataDisk({ settings, paths }: StartRequest): DiskDevice[] {
  if (settings.initdata === "") return [];
  return [makeInitdataDisk(settings.initdata, `${paths.run}/initdata.img`)];
}

/** Tells the guest of its pod and network, in the calls that every agent of the protocol knows. */
async function setUpGuest(agent: AgentConnection, network: PodNetwork, start: StartRequest): Promise<void> {
  const call = { timeoutMs: start.settings.createContainerTimeoutMs };
  await setPodPolicy(agent, start);
  await agent.calls.createSandbox(podMessage(start), call);
  for (const each of network.interfaces) await agent.calls.updateInterface({ interface: each }, call);
  if (network.routes.length > 0) {
    await agent.calls.updateRoutes({ routes: { Routes: network.routes } }, call);
  }
  if (network.neighbours.length > 0) {
    await agent.calls.addARPNeighbors({ neighbors: { ARPNeighbors: network.neighbours } }, call);
  }
}
