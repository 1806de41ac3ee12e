/** Kill: a signal to a process, or to all of a container. */
import { hasCode, KataError } from "../../kata-error.ts";
import type { KillRequest } from "../generated.ts";
import { type Pod, STATUS_LOST } from "../pod/pod.ts";

/** Highest signal number. */
const SIGNAL_COUNT = 64;
const SIGNALLED = 128;

/**
 * @throws KataError `not-found` for a process that has ended, `failed-precondition` for an exec that was not started,
 * `invalid-argument` for a signal that there is not.
 */
export async function killTask(pod: Pod, { id, execId, signal, all }: KillRequest): Promise<void> {
  const container = pod.container(id);
  const process = container.process(execId);
  if (signal < 1 || signal > SIGNAL_COUNT) {
    throw new KataError("invalid-argument", {
      operation: "send signal",
      object: String(signal),
      hint: `signals are numbered 1 to ${SIGNAL_COUNT}`,
    });
  }
  await process.startSettled();
  const { name } = process.state;
  if (name === "stopped") {
    throw new KataError("not-found", {
      operation: "send signal",
      object: `${process.name}: process already finished`,
    });
  }
  if (name === "created" && execId !== "") {
    throw new KataError("failed-precondition", {
      operation: "send signal",
      object: `${process.name} was not started`,
    });
  }
  try {
    await pod.sandbox.signal(process.address, signal, all && execId === "");
  } catch (error) {
    if (!hasCode(error, "not-found", "unavailable") || name !== "created") throw error;
    // Its program never came to run: a start that failed, or a lost machine.
    const status = hasCode(error, "not-found") ? SIGNALLED + signal : STATUS_LOST;
    pod.tellExit(container, process, { status, at: pod.parts.wallClock() });
    return;
  }
  // A container that was never started can be ended too.
  if (name === "created") pod.watch(container, process);
}
