/**
 * A pod's machine from the pool: it runs already, with its share mounted, and is told of its pod in one call.
 *
 * Its processes were started by the pool's keeper, which ends with this process. They move into the pod's cgroups while its first
 * container is created.
 */
import { KataError } from "../../kata-error.ts";
import { orCancelled } from "../../sys/cancellation.ts";
import { settledWithin, withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import type { Rollback } from "../../sys/rollback.ts";
import { traced, tracePhase } from "../../sys/trace.ts";
import { adoptAgent } from "../agent-connection.ts";
import { HYPERVISORS } from "../hypervisor/drivers.ts";
import { SupervisedProgram } from "../hypervisor/supervised-program.ts";
import type { MachineSpec } from "../hypervisor/types.ts";
import { wasBrought } from "../network/attach-link.ts";
import { placeholderCard } from "../network/silent-network.ts";
import { type ClaimedMachine, KeeperReports } from "../pool/claim.ts";
import { memoryGrowth } from "../resources/machine-growth.ts";
import { moveToCgroups } from "../resources/move-to-cgroups.ts";
import { MountRoom } from "../storage/mount-room.ts";
import { SharedDirectory } from "../storage/shared-directory.ts";
import { networkMessage, newIdentity } from "./clone-machine.ts";
import { savable } from "./provide-template.ts";
import {
  cardQueues,
  podMessage,
  type StartedMachine,
  type StartRequest,
  setPodPolicy,
  startedMachine,
  watchStart,
} from "./start-parts.ts";

/** A warmed machine answers within milliseconds; on a host that is busy starting others it takes its time, ms. */
const ANSWER_DEADLINE_MS = 10_000;

/** Goes on with a machine of the pool. What it acquires is undone by `undo`. @throws KataError if it does not wake up. */
export async function adoptMachine(
  start: StartRequest,
  { offer, descriptors }: ClaimedMachine,
  undo: Rollback,
): Promise<StartedMachine> {
  const { request, settings, record, cgroups, network } = start;
  const { logger, signal } = request;
  const began = loop.now();
  const reports = new KeeperReports(descriptors.lifeline);
  undo.add("lifeline", () => reports.close());
  record.addProcess("keeper", offer.keeperPid);
  record.addProcess("virtiofsd", offer.fileServerPid);
  record.addProcess("QEMU", offer.hypervisorPid);

  const fileServer = new SupervisedProgram(
    reports.program("virtiofsd", offer.fileServerPid, descriptors.fileServerProcess),
    loop,
  );
  undo.add("virtiofsd", () => fileServer.stop(FILE_SERVER_END_MS));
  const context = { clock: loop, logger, signal };
  const { monitor, console, agent: agentEnd, hypervisorProcess } = descriptors;
  const driver = HYPERVISORS[settings.driver];
  const machine = driver.adopt?.(
    pooledSpec(start, offer.accelerator),
    reports.program("QEMU", offer.hypervisorPid, hypervisorProcess),
    {
      monitor,
      console,
      agent: agentEnd,
      monitorVersion: offer.monitorVersion,
      plugged: offer.plugged,
    },
    context,
  );
  if (machine === undefined) {
    throw new KataError("failed-precondition", { operation: "take over machine", object: driver.name });
  }
  undo.add("virtual machine", () => machine.stop());
  const watch = watchStart(machine, settings, fileServer);
  const agent = adoptAgent(machine.agentChannel);
  undo.add("connection to the agent", () => agent.close());

  const resumed = machine.resume();
  resumed.catch(() => undefined);
  const sharing = tracePhase("shim", "join share");
  const room = MountRoom.open();
  undo.add("mount namespace", () => room[Symbol.dispose]());
  const share = SharedDirectory.join(room, start.paths, descriptors.mounts);
  descriptors.mounts.close();
  sharing();
  const become = async () => {
    await setPodPolicy(agent, start);
    const message = { ...podMessage(start), identity: newIdentity(), ...networkMessage(network.guest) };
    // The machine has one card; the guest looks for others as soon as it is told of them.
    for (const device of network.devices) if (!wasBrought(device)) await machine.attach(device);
    await agent.calls.createSandbox(message, { timeoutMs: ANSWER_DEADLINE_MS });
  };
  // The keeper does nothing from now on, and would hold the pod's groups at the end.
  const pids = [offer.hypervisorPid, offer.fileServerPid];
  const placed = traced("shim", "move to cgroups", moveToCgroups(pids, cgroups));
  // Its failure is told to those who start containers.
  placed.catch(() => undefined);
  undo.add("move to cgroups", () => settledWithin(loop, MOVE_END_MS, placed));
  const ready = Promise.all([resumed, become()]);
  const what = { operation: "wake machine of the pool", object: `pid ${offer.hypervisorPid}` };
  await orCancelled(withDeadline(loop, ANSWER_DEADLINE_MS, what, Promise.race([ready, watch.ended])), signal);
  logger.debug("machine came from the pool", { ms: Math.round(loop.now() - began) });
  return { ...startedMachine({ machine, agent, share, fileServer }), placed };
}

/** A move that is under way is waited for, so that it puts nothing into groups that are being removed, ms. */
const MOVE_END_MS = 5000;

/** The file server ends by itself with the machine's connection; after this it is killed, ms. */
const FILE_SERVER_END_MS = 500;

function pooledSpec(
  { settings, range, request, cgroups, paths }: StartRequest,
  accelerator: MachineSpec["accelerator"],
): MachineSpec {
  return savable({
    ...settings.machine,
    ...range.boot,
    maxVcpus: range.most.vcpus,
    memoryGrowth: memoryGrowth(settings.memoryGrowth, range),
    id: request.id,
    accelerator,
    devices: [placeholderCard(0, cardQueues(settings, range.boot.vcpus))],
    networkNamespace: undefined,
    runDirectory: paths.run,
    cgroups,
  });
}
