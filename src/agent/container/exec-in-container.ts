/** Running one more process in a container. */
import type { Process } from "../../oci/types.ts";
import { O_RDONLY, open } from "../../sys/files.ts";
import { CLONE_NEWPID, CLONE_NEWUSER, pidfdOpen } from "../../sys/process.ts";
import type { Container } from "./container.ts";
import { type ContainerContext, checkId, outerOwner } from "./create-container.ts";
import { becomeExec } from "./exec-process.ts";
import { launch } from "./launch.ts";
import { planProcess } from "./plan-process.ts";
import { startedProcess } from "./started-process.ts";

/**
 * Runs `process` in `container` as `execId`.
 *
 * @throws KataError `failed-precondition` unless the container runs; what the start of the program failed with.
 */
export async function execInContainer(
  container: Container,
  execId: string,
  process: Process,
  context: ContainerContext,
): Promise<void> {
  container.require("exec in", "created", "running");
  checkId(execId, "exec");
  using _id = container.reserveExec(execId);
  const capabilities = process.capabilities ?? container.spec.process?.capabilities;
  // Hosts that name none mean the container's own.
  const inherited = capabilities === undefined ? process : { ...process, capabilities };
  const plan = planProcess(inherited, container.spec, container.id);
  const pid = container.init.pid;
  using init = pidfdOpen(pid);
  using pidNamespace = open(`/proc/${pid}/ns/pid`, O_RDONLY);
  const child = await launch(
    {
      hasTerminal: plan.terminal !== undefined,
      pipeSize: context.pipeSize,
      cloneFlags: 0,
      joined: [{ fd: pidNamespace.fd, type: CLONE_NEWPID, name: "pid" }],
      given: [init.fd],
      stdioOwner:
        (container.namespaces & CLONE_NEWUSER) === 0
          ? undefined
          : outerOwner(plan.credentials, container.spec),
      prepare: (child) => container.cgroup.add(child),
      body: (channel) => becomeExec({ process: plan, namespaces: container.namespaces }, channel),
    },
    context.reaper,
  );
  container.addExec(await startedProcess(child, execId));
}
