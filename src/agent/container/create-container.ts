/** Creating a container: from its spec to a first process that waits for its start. Every step is undone if a later one fails. */
import { describeError, KataError } from "../../kata-error.ts";
import type { Spec } from "../../oci/types.ts";
import { writeExisting } from "../../sys/files.ts";
import type { Rollback } from "../../sys/rollback.ts";
import type { ChildReaper } from "../child-reaper.ts";
import { Container } from "./container.ts";
import type { CgroupRoom } from "./container-cgroup.ts";
import { ContainerProcess } from "./container-process.ts";
import { becomeInit } from "./init-process.ts";
import { launch } from "./launch.ts";
import { planContainer, type SharedNamespaceFds } from "./plan-container.ts";

export interface ContainerRequest {
  readonly id: string;
  readonly spec: Spec;
  readonly shared: SharedNamespaceFds;
  /** What has to be given back with the container: its storages. */
  readonly resources: Rollback;
}

export interface ContainerContext {
  readonly reaper: ChildReaper;
  readonly cgroups: CgroupRoom;
  /** Bytes; 0 for the kernel's default. */
  readonly pipeSize: number;
}

/** Longest container or exec id. Source: containerd, identifiers. */
const MAX_ID_LENGTH = 128;

/** @throws KataError `invalid-argument` unless `id` is fit for a file name. */
export function checkId(id: string, what: string): void {
  if (id.length <= MAX_ID_LENGTH && /^[A-Za-z0-9][\w.-]*$/.test(id)) return;
  throw new KataError("invalid-argument", {
    operation: `use ${what} id`,
    object: JSON.stringify(id.slice(0, MAX_ID_LENGTH)),
    hint: "it has up to 128 letters, digits, '.', '_' and '-', and begins with a letter or digit",
  });
}

/**
 * Creates the container; it is `created` then.
 *
 * @throws KataError what failed; nothing is left, `request.resources` included.
 */
export async function createContainer(
  request: ContainerRequest,
  context: ContainerContext,
): Promise<Container> {
  const { id, spec, resources } = request;
  try {
    const cgroup = await context.cgroups.create(id, spec);
    resources.add(`cgroup of ${id}`, () => cgroup.remove());
    const plan = planContainer(id, spec, request.shared, cgroup.visible);
    const process = plan.init.process;
    const child = await launch(
      {
        hasTerminal: process.terminal !== undefined,
        pipeSize: context.pipeSize,
        cloneFlags: plan.cloneFlags,
        joined: plan.joined,
        given: [],
        prepare: (pid) => {
          writeIdMaps(pid, plan.uidMap, plan.gidMap);
          cgroup.add(pid);
        },
        body: (channel) => becomeInit(plan.init, channel),
      },
      context.reaper,
    );
    const init = new ContainerProcess("", child, child.stdio);
    return new Container({
      id,
      spec,
      cgroup,
      init,
      channel: child.channel,
      namespaces: plan.execNamespaces,
      ownPidNamespace: plan.ownPidNamespace,
      resources,
    });
  } catch (error) {
    await undo(resources, error);
    throw error;
  }
}

/** Runs `resources`; what fails there is told together with the first failure. */
async function undo(resources: Rollback, first: unknown): Promise<void> {
  try {
    await resources.run();
  } catch (error) {
    throw new KataError("cleanup-failed", {
      operation: "create container",
      object: `${describeError(first)}; then ${describeError(error)}`,
      cause: first,
    });
  }
}

/** Ids of a user namespace: `inside outside count` lines. Source: user_namespaces(7). */
function writeIdMaps(pid: number, uidMap: string, gidMap: string): void {
  if (uidMap === "" && gidMap === "") return;
  writeExisting(`/proc/${pid}/uid_map`, uidMap);
  writeExisting(`/proc/${pid}/gid_map`, gidMap);
}
