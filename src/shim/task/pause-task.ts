/** Pause and Resume: of all processes of a container. */
import { paused, resumed } from "../events/task-events.ts";
import type { Pod } from "../pod/pod.ts";

/** @throws KataError `failed-precondition` unless it runs. */
export async function pauseTask(pod: Pod, id: string): Promise<void> {
  const { init } = pod.container(id);
  init.check({ do: "pause" });
  await pod.sandbox.pause(id);
  init.become({ do: "pause" });
  pod.parts.events.publish(paused(id));
}

/** @throws KataError `failed-precondition` unless it is paused. */
export async function resumeTask(pod: Pod, id: string): Promise<void> {
  const { init } = pod.container(id);
  init.check({ do: "resume" });
  await pod.sandbox.resume(id);
  init.become({ do: "resume" });
  pod.parts.events.publish(resumed(id));
}
