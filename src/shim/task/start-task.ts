/** Start: a container's first process, or an exec. */
import { execStarted, started } from "../events/task-events.ts";
import type { Pod } from "../pod/pod.ts";

/** @param execId empty for the first process. @throws KataError `failed-precondition` unless it is created. */
export async function startTask(pod: Pod, id: string, execId: string): Promise<number> {
  const container = pod.container(id);
  const process = container.process(execId);
  if (execId !== "") container.mustTakeProcesses();
  await process.start();
  const { pid } = container.facts;
  pod.parts.events.publish(execId === "" ? started(id, pid) : execStarted(id, execId, pid));
  // Only now, so that the end is told after the start.
  pod.watch(container, process);
  return pid;
}
