/** `ps` without the id of a container: the sandboxes of this host. */
import { tableLines } from "../azure/table-text.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import type { PodDescription } from "./pod-description.ts";
import { readPod } from "./read-pods.ts";
import { sandboxIds } from "./sandbox-directories.ts";
import { shownAge } from "./shown-age.ts";

const SHORT_ID_LENGTH = 12;

export async function runPs({ flags, output }: CommandContext): Promise<number> {
  const ids = sandboxIds();
  if (flags.has("quiet")) {
    output.data(ids.map((id) => `${id}\n`).join(""));
    return EXIT_OK;
  }
  const pods = await Promise.all(ids.map(readPod));
  if (flags.has("json")) {
    output.data(`${JSON.stringify(pods.map(summary), null, 2)}\n`);
    return EXIT_OK;
  }
  const whole = flags.has("no-trunc");
  const now = Date.now();
  const rows = pods.map((pod) => row(pod, whole, now));
  output.data(
    tableLines(
      ["SANDBOX", "NAMESPACE", "NAME", "STATE", "HYPERVISOR", "CPUS", "MEMORY", "CONTAINERS", "AGE"],
      rows,
    ),
  );
  return EXIT_OK;
}

function row(pod: PodDescription, whole: boolean, now: number): string[] {
  const running = pod.containers.filter(({ state }) => state !== "stopped").length;
  return [
    whole ? pod.id : pod.id.slice(0, SHORT_ID_LENGTH),
    pod.namespace || "-",
    pod.name || "-",
    pod.state,
    pod.hypervisor || "-",
    pod.vcpus === 0 ? "-" : String(pod.vcpus),
    pod.memoryMib === 0 ? "-" : `${pod.memoryMib}MiB`,
    `${running}/${pod.containers.length}`,
    pod.startedAt === 0 ? "-" : shownAge(now - pod.startedAt),
  ];
}

function summary({ details: _, ...pod }: PodDescription): Omit<PodDescription, "details"> {
  return pod;
}
