/**
 * A pod's machine as a clone of a saved one.
 *
 * Its memory is a copy of the template's, written while the monitor starts, so that it shares no page with any other machine and the
 * file server can map it. What cannot be saved, the shared directory, is plugged in while the guest becomes a machine of its own.
 */
import { KataError } from "../../kata-error.ts";
import { orCancelled, throwIfCancelled } from "../../sys/cancellation.ts";
import { withDeadline } from "../../sys/clock.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { ftruncate } from "../../sys/files.ts";
import { memfdCreate } from "../../sys/memory.ts";
import { randomBytes } from "../../sys/random.ts";
import { Rollback } from "../../sys/rollback.ts";
import { copySparse } from "../../sys/sparse-copy.ts";
import { CLOCK_REALTIME, clockGettime } from "../../sys/time.ts";
import { traced } from "../../sys/trace.ts";
import type { AgentConnection } from "../agent-client.ts";
import { adoptAgent } from "../agent-connection.ts";
import { HYPERVISORS } from "../hypervisor/drivers.ts";
import type { MachineSpec, VirtualMachine } from "../hypervisor/types.ts";
import type { GuestNetwork } from "../network/pod-network.ts";
import type { SandboxSettings } from "../settings.ts";
import type { SharedDirectory } from "../storage/shared-directory.ts";
import type { FileServer } from "../storage/virtiofsd.ts";
import type { SavedTemplate } from "../template/template-store.ts";
import {
  makeShare,
  podMessage,
  type StartedMachine,
  type StartRequest,
  serveFiles,
  setPodPolicy,
  shareDevice,
  startedMachine,
  together,
  watchStart,
} from "./start-parts.ts";

/** A clone that is well answers within a second; one that does not is given up for a boot, ms. */
export const CLONE_DEADLINE_MS = 20_000;
/** More than a generator's state. */
const SEED_BYTES = 64;
const NANOSECONDS = 1_000_000_000n;

/** A clone that runs, and does not know yet that it is one; its share is not plugged in. */
export interface BareClone {
  readonly machine: VirtualMachine;
  readonly agent: AgentConnection;
  readonly share: SharedDirectory;
  readonly fileServer: FileServer;
  /** The guest's. Who has the last descriptor of it gives its pages back, which takes tens of milliseconds: not the machine's processes. */
  readonly memory: FileDescriptor;
}

/** Clones `template`, which was made for `spec`. What it acquires is undone by `undo`. */
export async function cloneMachine(
  start: StartRequest,
  spec: MachineSpec,
  template: SavedTemplate,
  undo: Rollback,
): Promise<StartedMachine> {
  const { request, settings, record } = start;
  const { logger, signal } = request;
  const began = loop.now();
  const clone = await bareClone(start, { ...spec, devices: start.network.devices }, template, undo);
  const { machine, agent, share, fileServer, memory } = clone;
  memory.close();
  record.addProcess("virtiofsd", fileServer.program.pid);
  record.addProcess(HYPERVISORS[settings.driver].name, machine.pid);
  const restored = loop.now();

  const watch = watchStart(machine, settings, fileServer.program);
  const ready = Promise.all([tellClone(agent, start), plugShare(clone, settings)]);
  const what = { operation: "wake clone", object: template.directory };
  await orCancelled(withDeadline(loop, CLONE_DEADLINE_MS, what, Promise.race([ready, watch.ended])), signal);
  logger.debug("machine was cloned", {
    restore_ms: Math.round(restored - began),
    setup_ms: Math.round(loop.now() - restored),
  });
  return startedMachine({ machine, agent, share, fileServer: fileServer.program });
}

/** Starts a clone with the devices of `spec`, and a file server for it. */
export async function bareClone(
  start: StartRequest,
  spec: MachineSpec,
  template: SavedTemplate,
  undo: Rollback,
): Promise<BareClone> {
  const { logger, signal } = start.request;
  const memory = newMemory(spec.memoryMib);
  undo.add("memory", () => memory.close());
  const copied = traced("shim", "copy memory", copySparse(template.memory.fd, memory.fd));
  // Its failure is the restored machine's.
  copied.catch(() => undefined);
  const share = makeShare(start.paths, undo);
  throwIfCancelled(signal);
  const origin = {
    kind: "saved",
    memory: memory.fd,
    state: template.state.fd,
    memoryReady: copied.then(() => undefined),
  } as const;
  const restoring = HYPERVISORS[start.settings.driver].boot(spec, { clock: loop, logger, signal }, origin);
  const [machine, fileServer] = await besideFileServer(restoring, undo, (forFiles) =>
    traced("shim", "start file server", serveFiles(start, share, forFiles)),
  );
  const agent = adoptAgent(machine.agentChannel);
  undo.add("connection to the agent", () => agent.close());
  return { machine, agent, share, fileServer, memory };
}

/** Waits for a machine that is being restored and the file server that is started meanwhile. What they are is undone by `undo`. */
export async function besideFileServer<F>(
  restoring: Promise<VirtualMachine>,
  undo: Rollback,
  serve: (forFiles: Rollback) => Promise<F>,
): Promise<[VirtualMachine, F]> {
  // The machine goes before its file server, whichever of them came first.
  const [forFiles, forMachine] = [new Rollback(), new Rollback()];
  const restored = restoring.then((machine) => {
    forMachine.add("virtual machine", () => machine.stop());
    return machine;
  });
  return await together(traced("shim", "restore machine", restored), serve(forFiles)).finally(() => {
    undo.adopt(forFiles);
    undo.adopt(forMachine);
  });
}

/** Makes a clone a machine of its own, which knows its pod. */
export async function tellClone(agent: AgentConnection, start: StartRequest): Promise<void> {
  await setPodPolicy(agent, start);
  const message = { ...podMessage(start), identity: newIdentity(), ...networkMessage(start.network.guest) };
  await agent.calls.createSandbox(message, { timeoutMs: CLONE_DEADLINE_MS });
}

/** Plugs the share in; the guest looks for it by itself. */
export async function plugShare(
  { machine, fileServer }: Pick<BareClone, "machine" | "fileServer">,
  settings: SandboxSettings,
): Promise<void> {
  await machine.attach(shareDevice(fileServer, settings));
  fileServer.release();
}

function newMemory(memoryMib: number): FileDescriptor {
  const memory = memfdCreate("kata-memory");
  try {
    ftruncate(memory.fd, memoryMib * (1 << 20));
    return memory;
  } catch (error) {
    memory.close();
    throw new KataError("resource-exhausted", {
      operation: "make memory of virtual machine",
      object: `${memoryMib} MiB`,
      cause: error,
    });
  }
}

/** What makes a clone another machine than its siblings. */
export function newIdentity() {
  const now = clockGettime(CLOCK_REALTIME);
  return {
    seed: randomBytes(SEED_BYTES),
    seconds: now / NANOSECONDS,
    nanoseconds: Number(now % NANOSECONDS),
  };
}

/** The network in the call that makes the clone a pod's. The saved card has the kernel's own name for the first one. */
export function networkMessage(network: GuestNetwork) {
  if (network.interfaces.length === 0) return {};
  return {
    interfaces: {
      Interfaces: network.interfaces.map((each, index) => ({ ...each, device: `eth${index}` })),
    },
    routes: { Routes: network.routes },
    neighbors: { ARPNeighbors: network.neighbours },
  };
}
