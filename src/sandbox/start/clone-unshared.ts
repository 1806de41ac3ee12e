/**
 * A pod's machine as a clone of a saved one, where guest and host share no directory: nothing has to be plugged in, and the monitor takes
 * the template's memory as it lies there.
 */
import { orCancelled } from "../../sys/cancellation.ts";
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import type { Rollback } from "../../sys/rollback.ts";
import { HYPERVISORS } from "../hypervisor/drivers.ts";
import type { MachineSpec } from "../hypervisor/types.ts";
import type { SavedTemplate } from "../template/template-store.ts";
import { CLONE_DEADLINE_MS, networkMessage, newIdentity } from "./clone-machine.ts";
import { reachAgent } from "./reach-agent.ts";
import {
  endOf,
  killBoth,
  makeShare,
  podMessage,
  type StartedMachine,
  type StartRequest,
  setPodPolicy,
  watchStart,
} from "./start-parts.ts";

/** Clones `template`, which was made for `spec`. What it acquires is undone by `undo`. */
export async function cloneUnshared(
  start: StartRequest,
  spec: MachineSpec,
  template: SavedTemplate,
  undo: Rollback,
): Promise<StartedMachine> {
  const { request, settings, network, record } = start;
  const { logger, signal } = request;
  const began = loop.now();
  // Where root filesystems are mounted while disks are made of them.
  const share = makeShare(start.paths, undo);
  const machine = await HYPERVISORS[settings.driver].boot(
    { ...spec, devices: network.devices },
    { clock: loop, logger, signal },
    {
      kind: "saved",
      memory: template.memory.fd,
      state: template.state.fd,
      memoryReady: Promise.resolve(),
    },
  );
  undo.add("virtual machine", () => machine.stop());
  record.addProcess(HYPERVISORS[settings.driver].name, machine.pid);
  const restored = loop.now();
  const watch = watchStart(machine, settings);
  const become = async () => {
    const agent = await reachAgent(machine, watch, CLONE_DEADLINE_MS, signal);
    undo.add("connection to the agent", () => agent.close());
    await setPodPolicy(agent, start);
    const message = { ...podMessage(start), identity: newIdentity(), ...networkMessage(network.guest) };
    await agent.calls.createSandbox(message, { timeoutMs: CLONE_DEADLINE_MS });
    return agent;
  };
  const what = { operation: "wake clone", object: template.directory };
  const woken = withDeadline(loop, CLONE_DEADLINE_MS, what, Promise.race([become(), watch.ended]));
  const agent = await orCancelled(woken, signal);
  logger.debug("machine was cloned", {
    restore_ms: Math.round(restored - began),
    setup_ms: Math.round(loop.now() - restored),
  });
  return {
    machine,
    agent,
    share,
    fileServerEnded: endOf(undefined),
    kill: killBoth(machine, undefined),
  };
}
