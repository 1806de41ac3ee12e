/** Creating a container: from its spec to a first process that waits for its start. Every step is undone if a later one fails. */
import { describeError, KataError } from "../../kata-error.ts";
import { checkHooks, type HookSubject, hasHooks, hooksDeadlineMs } from "../../oci/hooks.ts";
import type { Spec } from "../../oci/types.ts";
import { MOUNT_ATTR_RDONLY } from "../../sys/new-mount-api.ts";
import type { Rollback } from "../../sys/rollback.ts";
import { traced, tracedNow, tracePhase } from "../../sys/trace.ts";
import { delegateCgroup } from "../cgroup/delegate.ts";
import type { ChildReaper } from "../child-reaper.ts";
import { FIRST_GIVEN_FD } from "./become-program.ts";
import { bundleDirectory, writeBundle } from "./bundle.ts";
import { Container } from "./container.ts";
import type { CgroupRoom } from "./container-cgroup.ts";
import { ContainerProcess } from "./container-process.ts";
import { runHooks } from "./hooks.ts";
import { outerId, writeIdMaps } from "./id-map-namespace.ts";
import { becomeInit, type InitPlan } from "./init-process.ts";
import { launch } from "./launch.ts";
import { planContainer, type SharedNamespaceFds } from "./plan-container.ts";
import { prepareToPlan } from "./plan-process.ts";
import { prepareMounts } from "./prepared-mounts.ts";

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
  /** Tells of what went wrong and is nobody's failure. */
  readonly warn: (message: string, fields: Readonly<Record<string, string>>) => void;
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
    const hooks = addHooks(request, context);
    const making = tracePhase("guest", "make cgroup");
    const cgroup = await context.cgroups.create(id, spec);
    making();
    resources.add(`cgroup of ${id}`, () => cgroup.remove());
    await prepareToPlan(spec);
    const plan = tracedNow("guest", "plan container", () =>
      planContainer(id, spec, request.shared, cgroup.visible),
    );
    const process = plan.init.process;
    using prepared = await traced(
      "guest",
      "prepare mounts",
      prepareMounts(
        { mounts: plan.init.rootfs.mounts, maps: plan.maps, joined: plan.joined, firstFd: FIRST_GIVEN_FD },
        context.reaper,
      ),
    );
    const init: InitPlan = { ...plan.init, rootfs: { ...plan.init.rootfs, mounts: prepared.mounts } };
    const owner =
      plan.maps !== undefined && mountsCgroupWritable(init) ? outerOwner(NAMESPACE_ROOT, spec) : undefined;
    const child = await launch(
      {
        hasTerminal: process.terminal !== undefined,
        pipeSize: context.pipeSize,
        cloneFlags: plan.cloneFlags,
        joined: plan.joined,
        given: prepared.descriptors,
        prepare: (pid) => {
          if (plan.maps !== undefined) writeIdMaps(pid, plan.maps);
          cgroup.add(pid);
          if (owner !== undefined) delegateCgroup(cgroup.visible, owner);
        },
        stdioOwner: plan.maps === undefined ? undefined : outerOwner(process.credentials, spec),
        hooksDeadlineMs: hooksDeadlineMs([
          ...(spec.hooks?.prestart ?? []),
          ...(spec.hooks?.createRuntime ?? []),
          ...(spec.hooks?.createContainer ?? []),
        ]),
        runHooks: async (pid) => {
          if (hooks === undefined) return;
          await runHooks("prestart", hooks, pid, context.reaper);
          await runHooks("createRuntime", hooks, pid, context.reaper);
        },
        body: (channel) => becomeInit(init, channel),
      },
      context.reaper,
    );
    const first = new ContainerProcess("", child, child.stdio);
    return new Container({
      id,
      spec,
      cgroup,
      init: first,
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

const NAMESPACE_ROOT = { uid: 0, gid: 0 };

/** Whether a container may divide its cgroup. Source: runtime-spec, "Cgroup ownership". */
function mountsCgroupWritable({ rootfs, ownCgroupNamespace }: InitPlan): boolean {
  return (
    ownCgroupNamespace &&
    rootfs.mounts.some(
      ({ source, attributes }) => source.kind === "cgroup" && (attributes.set & MOUNT_ATTR_RDONLY) === 0,
    )
  );
}

/** Writes the bundle that hooks read, and sees to it that the last ones run when all else has been given back. */
function addHooks(
  { id, spec, resources }: ContainerRequest,
  context: ContainerContext,
): HookSubject | undefined {
  if (!hasHooks(spec)) return undefined;
  checkHooks(spec.hooks);
  const subject = { id, spec, bundle: bundleDirectory(id) };
  resources.add(`bundle of ${id}`, writeBundle(id, spec));
  resources.add(`poststop hooks of ${id}`, async () => {
    try {
      await runHooks("poststop", subject, undefined, context.reaper);
    } catch (error) {
      // The container is gone; whoever removes it can do nothing about it.
      context.warn("poststop hook failed", { container: id, error: describeError(error) });
    }
  });
  return subject;
}

/** The machine's ids of the user that a process in a user namespace runs as. */
export function outerOwner(
  { uid, gid }: { readonly uid: number; readonly gid: number },
  { linux }: Spec,
): { readonly uid: number; readonly gid: number } | undefined {
  const [outerUid, outerGid] = [outerId(uid, linux?.uidMappings), outerId(gid, linux?.gidMappings)];
  return outerUid === undefined || outerGid === undefined ? undefined : { uid: outerUid, gid: outerGid };
}
