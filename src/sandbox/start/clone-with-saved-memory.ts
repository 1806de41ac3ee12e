/**
 * A pod's machine as a clone of a saved one, by a monitor that copies the template's memory by itself: it takes it as it lies there.
 * A shared directory is plugged in while the guest becomes a machine of its own.
 */
import { orCancelled } from "../../sys/cancellation.ts";
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import type { Rollback } from "../../sys/rollback.ts";
import { traced } from "../../sys/trace.ts";
import { HYPERVISORS } from "../hypervisor/drivers.ts";
import type { MachineSpec } from "../hypervisor/types.ts";
import type { SavedTemplate } from "../template/template-store.ts";
import { besideFileServer, CLONE_DEADLINE_MS, plugShare, tellClone } from "./clone-machine.ts";
import { reachAgent } from "./reach-agent.ts";
import {
  makeShare,
  type StartedMachine,
  type StartRequest,
  serveFiles,
  startedMachine,
  watchStart,
} from "./start-parts.ts";

/** Clones `template`, which was made for `spec`. What it acquires is undone by `undo`. */
export async function cloneWithSavedMemory(
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
  const restoring = HYPERVISORS[settings.driver].boot(
    { ...spec, devices: network.devices },
    { clock: loop, logger, signal },
    {
      kind: "saved",
      memory: template.memory.fd,
      state: template.state.fd,
      memoryReady: Promise.resolve(),
    },
  );
  const [machine, fileServer] = await besideFileServer(restoring, undo, async (forFiles) =>
    settings.sharesFiles
      ? await traced("shim", "start file server", serveFiles(start, share, forFiles))
      : undefined,
  );
  if (fileServer !== undefined) record.addProcess("virtiofsd", fileServer.program.pid);
  record.addProcess(HYPERVISORS[settings.driver].name, machine.pid);
  const restored = loop.now();
  const watch = watchStart(machine, settings, fileServer?.program);
  const become = async () => {
    const agent = await reachAgent(machine, watch, CLONE_DEADLINE_MS, signal);
    undo.add("connection to the agent", () => agent.close());
    await tellClone(agent, start);
    return agent;
  };
  const what = { operation: "wake clone", object: template.directory };
  const plugging =
    fileServer === undefined ? Promise.resolve() : plugShare({ machine, fileServer }, settings);
  const ready = Promise.all([become(), plugging]);
  const woken = withDeadline(loop, CLONE_DEADLINE_MS, what, Promise.race([ready, watch.ended]));
  const [agent] = await orCancelled(woken, signal);
  logger.debug("machine was cloned", {
    restore_ms: Math.round(restored - began),
    setup_ms: Math.round(loop.now() - restored),
  });
  return startedMachine({ machine, agent, share, fileServer: fileServer?.program });
}
