/** What an additional process of a running container does, in the child, from its clone to its program. */
import { O_DIRECTORY, O_PATH, open } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { CLONE_NEWUSER } from "../../sys/process.ts";
import { applyOomScore, becomeProgram, FIRST_GIVEN_FD } from "./become-program.ts";
import type { ParentChannel } from "./child-channel.ts";
import { becomeNamespaceRoot } from "./init-process.ts";
import type { ProcessPlan } from "./process-plan.ts";
import { applyInitialCpus } from "./scheduling.ts";
import { setUpTerminal } from "./terminal-setup.ts";

export interface ExecPlan {
  readonly process: ProcessPlan;
  /** `CLONE_NEW*` of the container's own namespaces; its pid namespace is joined by the clone. */
  readonly namespaces: number;
}

/**
 * Never comes back. The child's first given descriptor is the pidfd of the container's first process: its namespaces are
 * joined all at once, by the process itself and by no path (setns(2), Linux 5.8).
 */
export function becomeExec(plan: ExecPlan, channel: ParentChannel): never {
  applyOomScore(plan.process);
  applyInitialCpus(plan.process.scheduling);
  if (plan.namespaces !== 0) {
    check(kernel().syscall("setns", FIRST_GIVEN_FD, plan.namespaces), "join namespaces of", "container");
  }
  if ((plan.namespaces & CLONE_NEWUSER) !== 0) becomeNamespaceRoot();
  if (plan.process.terminal !== undefined) {
    using root = open("/", O_PATH | O_DIRECTORY);
    setUpTerminal(root.fd, plan.process.terminal, plan.process.credentials.uid, channel, false);
  }
  becomeProgram(plan.process, channel, () => undefined);
}
