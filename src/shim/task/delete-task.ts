/** Delete: of what has ended, an exec or a whole container. */
import { KataError } from "../../kata-error.ts";
import { deleted } from "../events/task-events.ts";
import type { ContainedProcess } from "../pod/contained-process.ts";
import type { Container } from "../pod/container.ts";
import { type Pod, STATUS_KILLED } from "../pod/pod.ts";
import type { Exit } from "../process-state.ts";

/**
 * Deletes a container that has ended or was never started, or an exec of it. One that is just being created is given up.
 *
 * @returns how it ended.
 * @throws KataError `failed-precondition` while it runs, `not-found` if there is none.
 */
export async function deleteTask(pod: Pod, id: string, execId: string): Promise<DeletedTask> {
  await pod.cancelCreation(id);
  const container = pod.container(id);
  const process = container.process(execId);
  await process.startSettled();
  const exit = endOf(pod, process);
  if (execId === "") await deleteContainer(pod, container, exit);
  else {
    process.closeStreams();
    container.removeExec(process);
  }
  return { pid: container.facts.pid, exit };
}

export interface DeletedTask {
  readonly pid: number;
  readonly exit: Exit;
}

function endOf(pod: Pod, process: ContainedProcess): Exit {
  const { state } = process;
  if (state.name === "stopped") return state.exit;
  if (state.name === "created") {
    // Its program never ran.
    const exit = { status: STATUS_KILLED, at: pod.parts.wallClock() };
    process.finish(exit);
    return exit;
  }
  throw new KataError("failed-precondition", {
    operation: `delete ${process.name}`,
    object: `it is ${state.name}`,
    hint: "kill it first",
  });
}

async function deleteContainer(pod: Pod, container: Container, exit: Exit): Promise<void> {
  // What was killed may have been so for want of memory: the guest's word of that comes before its word of the removal.
  const isDone = exit.status !== STATUS_KILLED && pod.retire(container);
  // A sandbox that was stopped before its containers were deleted has given back what they had.
  if (!isDone && pod.hasMachine) await pod.sandbox.removeContainer(container.id);
  await container.hooks.afterEnd();
  for (const process of container.processes) process.closeStreams();
  pod.parts.events.publish(deleted(container.id, container.facts.pid, exit));
  pod.remove(container);
}
