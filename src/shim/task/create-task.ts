/** Create: a container, with the pod's virtual machine if it is the first. */
import { describeError, hasCode, KataError } from "../../kata-error.ts";
import type { Spec } from "../../oci/types.ts";
import type { ContainerRequest, ProcessAddress, Sandbox } from "../../sandbox/types.ts";
import { type CancelSignal, throwIfCancelled } from "../../sys/cancellation.ts";
import { Rollback } from "../../sys/rollback.ts";
import { checkId } from "../arguments.ts";
import { ContainerHooks } from "../container-hooks.ts";
import { created } from "../events/task-events.ts";
import type { CreateTaskRequest } from "../generated.ts";
import { type ContainerRole, containerRole, isFromCrio } from "../grouping.ts";
import { ContainedProcess } from "../pod/contained-process.ts";
import { Container } from "../pod/container.ts";
import type { Pod } from "../pod/pod.ts";

const SIGKILL = 9;

/**
 * Creates a container and tells of it. Asked again for one that was not started yet, as by a containerd that was restarted before it
 * heard the answer, it is the same one.
 *
 * @param signal fires when nobody waits for it any more: all that was made is undone then.
 * @throws KataError in one line that says what to do; nothing is left on the host then.
 */
export async function createTask(
  pod: Pod,
  request: CreateTaskRequest,
  signal: CancelSignal,
): Promise<Container> {
  if (request.checkpoint !== "") {
    throw new KataError("unimplemented", {
      operation: "create container",
      object: request.id,
      hint: "containers cannot be restored from a checkpoint",
    });
  }
  checkId(request.id);
  const known = pod.containers.find(({ id }) => id === request.id);
  if (known !== undefined && isSame(known, request)) return known;
  return await pod.create(request.id, signal, (giveUp) => makeContainer(pod, request, giveUp));
}

function isSame({ facts, init }: Container, request: CreateTaskRequest): boolean {
  const { stdin, stdout, stderr, terminal } = init.paths;
  return (
    init.state.name === "created" &&
    facts.bundle === request.bundle &&
    stdin === request.stdin &&
    stdout === request.stdout &&
    stderr === request.stderr &&
    terminal === request.terminal
  );
}

async function makeContainer(pod: Pod, request: CreateTaskRequest, giveUp: CancelSignal): Promise<Container> {
  const { id, bundle, rootfs } = request;
  const { parts } = pod;
  const spec = pod.complete(withTerminal(parts.readSpec(bundle), request.terminal));
  const role = containerRole(spec.annotations ?? {});
  const hooks = new ContainerHooks(parts, { id, spec, bundle });
  const undo = new Rollback();
  try {
    const sandbox = await sandboxFor(pod, role, request, spec, giveUp, undo);
    const pid = sandbox.hypervisorPid;
    undo.add("hooks", () => hooks.afterEnd());
    await hooks.beforeCreation(pid, giveUp);
    const paths = {
      stdin: request.stdin,
      stdout: request.stdout,
      stderr: request.stderr,
      terminal: request.terminal,
    };
    const address = { containerId: id, execId: "" };
    const init = new ContainedProcess({
      address,
      paths,
      openStreams: () => parts.openStreams(sandbox, address, paths),
      launch: async (size) => {
        if (size !== undefined) await sandbox.resizeTerminal(address, size);
        await sandbox.startContainer(id);
        await afterStart(hooks, sandbox, address);
      },
      resize: (size) => sandbox.resizeTerminal(address, size),
    });
    await init.openStreams();
    undo.add("streams", () => init.closeStreams());
    const container: ContainerRequest = { id, bundle, spec, rootfs };
    await sandbox.createContainer(container);
    undo.add("container", () => sandbox.removeContainer(id));
    throwIfCancelled(giveUp);

    parts.events.publish(created({ containerId: id, bundle, rootfs, paths, pid }));
    return new Container({ id, bundle, role, pid, crio: isFromCrio(spec.annotations ?? {}) }, init, hooks);
  } catch (error) {
    await undo.run().catch((failure: unknown) => {
      parts.logger.error("clean up after a failed creation", {
        container: id,
        error: describeError(failure),
      });
    });
    throw error;
  }
}

/** A container whose hook for this fails is ended, so that it can be deleted. @throws KataError what the hook failed with. */
async function afterStart(hooks: ContainerHooks, sandbox: Sandbox, address: ProcessAddress): Promise<void> {
  try {
    await hooks.afterStart(sandbox.hypervisorPid);
  } catch (error) {
    await sandbox.signal(address, SIGKILL, true).catch((failure: unknown) => {
      // It has ended by itself.
      if (!hasCode(failure, "not-found", "failed-precondition", "unavailable")) throw failure;
    });
    throw error;
  }
}

/** The sandbox that the container's role asks for, which is booted if the container brings it. */
async function sandboxFor(
  pod: Pod,
  role: ContainerRole,
  { id, bundle, options }: CreateTaskRequest,
  spec: Spec,
  signal: CancelSignal,
  undo: Rollback,
): Promise<Sandbox> {
  if (role.role === "member" || pod.isKept) {
    const { sandbox } = pod;
    // Only Kubernetes' clients say to which pod a container belongs; containerd asks its shim in any case.
    if (role.role !== "member" || sandbox.id === role.sandboxId) return sandbox;
    throw new KataError("failed-precondition", {
      operation: "join sandbox",
      object: role.sandboxId,
      hint: `this shim serves the sandbox ${sandbox.id}`,
    });
  }
  const { logger } = pod.parts;
  const configuration = pod.parts.loadConfiguration(options, spec);
  for (const warning of configuration.warnings) logger.warn(warning);
  const sandbox = await pod.openSandbox({ id, configuration, spec, bundle, logger, signal });
  undo.add("sandbox", () => pod.closeSandbox());
  return sandbox;
}

/** The specification of a container whose client decides again whether it has a terminal. */
function withTerminal(spec: Spec, terminal: boolean): Spec {
  if (spec.process === undefined || (spec.process.terminal ?? false) === terminal) return spec;
  return { ...spec, process: { ...spec.process, terminal } };
}
