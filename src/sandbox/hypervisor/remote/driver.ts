/**
 * Machines that a service makes somewhere else, such as on a cloud's own virtual machines ("peer pods").
 *
 * ```
 * shim ── CreateVM ──▶ service        describes the machine; the answer names the agent's socket
 *      ── StartVM ───▶ service        makes it, and the tunnel of the pod's network
 *      ── agent's socket ─▶ service ─ ─ ─▶ agent
 *      ── StopVM ────▶ service        on every way out, also after a start that failed
 * ```
 *
 * Sources: proto/remote.proto; upstream's runtimes, remote hypervisor (order of calls, annotations, timeouts).
 */
import { describeError, hasCode, KataError } from "../../../kata-error.ts";
import { type CancelSignal, throwIfCancelled } from "../../../sys/cancellation.ts";
import { Rollback } from "../../../sys/rollback.ts";
import type { Hypervisor, MachineContext, MachineSpec, VirtualMachine } from "../types.ts";
import { createRemote, remoteVersion, startRemote, stopRemote } from "./remote-service.ts";
import { REMOTE } from "./traits.ts";
import { RemoteMachine } from "./virtual-machine.ts";

const { name: NAME } = REMOTE;

export const remote: Hypervisor = {
  ...REMOTE,
  boot,
  fingerprint: async () => ({ kind: "unsupported", reason: `machines of a ${NAME} are not saved` }),
};

async function boot(spec: MachineSpec, context: MachineContext): Promise<VirtualMachine> {
  const { logger, signal } = context;
  const { remote: description } = spec;
  if (description === undefined) {
    throw new KataError("internal", { operation: "start machine", object: "no remote hypervisor is named" });
  }
  refuseDevices(spec);
  throwIfCancelled(signal);
  const { service, annotations } = description;
  const version = await remoteVersion(service, signal);
  logger.debug("remote hypervisor answers", { socket: service.socket, version });
  const undo = new Rollback();
  // Before the call: an answer that is lost or late leaves a machine all the same.
  undo.add("remote machine", () => stopRemote(service, spec.id));
  try {
    const networkNamespacePath = spec.networkNamespace ?? "";
    const request = { id: spec.id, annotations, networkNamespacePath };
    const agent = await createRemote(service, request, signal).catch((error: unknown) => {
      // One that was refused was not made; there may be another's of this id.
      if (!isUncertain(error, signal)) undo.keep();
      throw error;
    });
    await startRemote(service, spec.id, signal);
    undo.keep();
    return new RemoteMachine({ spec, service, agent });
  } catch (error) {
    // What failed says more than that its remains cannot be taken away either.
    await undo.run().catch((failure: unknown) => {
      logger.error("stop remote machine after a failed start", { error: describeError(failure) });
    });
    throw error;
  }
}

/** Whether the service may have done what it was asked for all the same. */
function isUncertain(error: unknown, signal: CancelSignal | undefined): boolean {
  const unheard = hasCode(error, "deadline-exceeded", "unavailable", "cancelled", "malformed-message");
  return unheard || signal?.aborted === true || !(error instanceof KataError);
}

/** The protocol has nothing to describe devices with. */
function refuseDevices({ devices }: MachineSpec): void {
  const [device] = devices;
  if (device === undefined) return;
  throw new KataError("unsupported", {
    operation: "start machine",
    object: `${device.kind} ${device.id}`,
    hint: "a machine of a remote hypervisor has no devices of this host",
  });
}
