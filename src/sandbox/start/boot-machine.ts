/** A pod's machine, booted for it: the slow way, which every host has. */
import { orCancelled, throwIfCancelled } from "../../sys/cancellation.ts";
import { loop } from "../../sys/event-loop.ts";
import { chown } from "../../sys/files.ts";
import type { Rollback } from "../../sys/rollback.ts";
import type { AgentConnection } from "../agent-client.ts";
import type { DiskDevice } from "../hypervisor/disk-device.ts";
import { HYPERVISORS } from "../hypervisor/drivers.ts";
import type { MachineSpec } from "../hypervisor/types.ts";
import { tellNetwork } from "../network/live-guest.ts";
import { reachAgent } from "./reach-agent.ts";
import {
  makeShare,
  podMessage,
  type StartedMachine,
  type StartRequest,
  serveFiles,
  setPodPolicy,
  shareDevice,
  startedMachine,
  watchStart,
} from "./start-parts.ts";

/** Boots `spec`, the machine without devices. What it acquires is undone by `undo`. */
export async function bootMachine(
  start: StartRequest,
  spec: MachineSpec,
  undo: Rollback,
): Promise<StartedMachine> {
  const { request, settings, network, record } = start;
  const { logger, signal } = request;
  const share = makeShare(start.paths, undo);
  const fileServer = settings.sharesFiles ? await serveFiles(start, share, undo) : undefined;
  throwIfCancelled(signal);
  const shared = fileServer === undefined ? [] : [shareDevice(fileServer, settings)];
  // Before the call that may make a machine and not come back.
  if (spec.remote !== undefined) record.update({ remote: spec.remote.service });
  const devices = [...shared, ...network.devices, ...(await initdataDisk(start))];
  const machine = await HYPERVISORS[settings.driver].boot(
    { ...spec, devices },
    { clock: loop, logger, signal },
  );
  undo.add("virtual machine", () => machine.stop());
  fileServer?.release();
  if (fileServer !== undefined) record.addProcess("virtiofsd", fileServer.program.pid);
  if (spec.remote === undefined) record.addProcess(HYPERVISORS[settings.driver].name, machine.pid);
  const booting = loop.now();

  const watch = watchStart(machine, settings, fileServer?.program);
  const agent = await reachAgent(machine, watch, settings.dialTimeoutMs, signal);
  undo.add("connection to the agent", () => agent.close());
  const booted = loop.now();
  // The guest may wait for ever for a file server that has ended.
  const setUp = setUpGuest(agent, start);
  await orCancelled(Promise.race([setUp, watch.ended]), signal);
  logger.debug("guest was booted", {
    boot_ms: Math.round(booted - booting),
    setup_ms: Math.round(loop.now() - booted),
  });
  return startedMachine({ machine, agent, share, fileServer: fileServer?.program });
}

async function initdataDisk({ settings, paths, user }: StartRequest): Promise<DiskDevice[]> {
  // Who makes a machine somewhere else is told with the rest.
  if (settings.initdata === "" || settings.remote !== undefined) return [];
  const { makeInitdataDisk } = await import("./initdata-disk.ts");
  const disk = makeInitdataDisk(settings.initdata, `${user?.directory ?? paths.run}/initdata.img`);
  if (user !== undefined) chown(disk.path, user.uid, user.gid);
  return [disk];
}

/** Tells the guest of its pod and network, in the calls that every agent of the protocol knows. */
async function setUpGuest(agent: AgentConnection, start: StartRequest): Promise<void> {
  const call = { timeoutMs: start.settings.createContainerTimeoutMs };
  await setPodPolicy(agent, start);
  await agent.calls.createSandbox(podMessage(start), call);
  await tellNetwork(agent.calls, start.network.guest, call);
}
