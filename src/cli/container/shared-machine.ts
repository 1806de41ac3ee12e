/**
 * Whose virtual machine a container goes to. Engines build a pod by having its containers join the namespaces of the first one;
 * what shares a network with a container can only be in its machine.
 */
import type { Spec } from "../../oci/types.ts";
import { processStartTime } from "../../sandbox/process-identity.ts";
import { statIfExists } from "../../sys/files.ts";
import { type ContainerDirectory, containersIn, readRecord } from "./runtime-root.ts";

/** A container that runs, as far as its process tells. */
export interface RunningContainer {
  readonly directory: ContainerDirectory;
  readonly pid: number;
  readonly sandboxId: string;
}

/** The containers below `root` whose process is there. */
export function runningContainers(root: string): RunningContainer[] {
  const found: RunningContainer[] = [];
  for (const directory of containersIn(root)) {
    const record = readRecord(directory);
    if (record === undefined || processStartTime(record.pid) !== record.startTime) continue;
    found.push({ directory, pid: record.pid, sandboxId: record.sandboxId });
  }
  return found;
}

/**
 * The sandbox that `spec` joins by its namespaces: it names one of a running container's process, or the same network.
 *
 * @param identityOf tells a namespace's file from others: undefined if it is not there.
 */
export function joinedSandbox(
  spec: Spec,
  running: readonly RunningContainer[],
  identityOf: (path: string) => string | undefined = namespaceIdentity,
): string | undefined {
  if (running.length === 0) return undefined;
  const paths = (spec.linux?.namespaces ?? []).filter(({ path = "" }) => path !== "");
  for (const { path = "" } of paths) {
    const pid = /^\/proc\/(\d+)\/ns\//.exec(path)?.[1];
    const owner = running.find((each) => String(each.pid) === pid);
    if (owner !== undefined) return owner.sandboxId;
  }
  const network = paths.find(({ type }) => type === "network")?.path;
  const identity = network === undefined ? undefined : identityOf(network);
  if (identity === undefined || identity === identityOf("/proc/self/ns/net")) return undefined;
  return running.find(({ pid }) => identityOf(`/proc/${pid}/ns/net`) === identity)?.sandboxId;
}

function namespaceIdentity(path: string): string | undefined {
  const status = statIfExists(path);
  return status === undefined ? undefined : `${status.onMajor}:${status.onMinor}:${status.inode}`;
}
