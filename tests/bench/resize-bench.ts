/** Time from a container's Update to CPU and memory that it can use: the call is answered when both are there. */
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { KATA_RUNTIME } from "../harness/subject.ts";
import { TaskClient } from "../harness/task-client.ts";
import { type Figure, figure } from "./figure.ts";

const MIB = 1 << 20;
const SMALL = { memory: { limit: 64 * MIB } };
/** One CPU and 256 MiB more than without limits. */
const STEPS = [
  ["one CPU more", { cpu: { quota: 100_000, period: 100_000 } }],
  ["256 MiB more", { memory: { limit: 320 * MIB } }],
] as const;

/** Each round in a machine of its own: an emulated one keeps its CPUs. */
export async function resizes(
  containerd: PrivateContainerd,
  image: string,
  rounds: number,
): Promise<Figure[]> {
  const samples = new Map<string, number[]>(STEPS.map(([name]) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const id = `${containerd.address.tag}-resize-${round}`;
    const flags = ["--memory-limit", `${SMALL.memory.limit}`];
    const command = ["sh", "-c", "while :; do sleep 1; done"];
    await containerd.ctr.runDetached({ id, image, runtime: KATA_RUNTIME, command, flags });
    try {
      using task = await TaskClient.to(containerd.address, id);
      for (const [name, resources] of STEPS) {
        const started = performance.now();
        await task.update(resources);
        samples.get(name)?.push(performance.now() - started);
      }
    } finally {
      await containerd.ctr.remove(id);
    }
  }
  return [...samples].map(([name, times]) => figure("update", name, "ms", times));
}
