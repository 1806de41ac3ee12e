/** What a container's first process does, in the child, from its clone to its program. */

import type { HookSubject } from "../../oci/hooks.ts";
import { readlink } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { CLONE_NEWCGROUP } from "../../sys/process.ts";
import { applyOomScore, becomeProgram } from "./become-program.ts";
import type { ParentChannel } from "./child-channel.ts";
import { runHooksHere } from "./hooks.ts";
import type { ProcessPlan } from "./process-plan.ts";
import { enterRootFilesystem, type RootfsPlan } from "./root-filesystem.ts";
import { writeSysctls } from "./sysctl.ts";
import { setUpTerminal } from "./terminal-setup.ts";

export interface InitPlan {
  readonly process: ProcessPlan;
  readonly rootfs: RootfsPlan;
  /** Host name of its own UTS namespace; undefined to leave it. */
  readonly hostname: string | undefined;
  readonly domainname: string | undefined;
  readonly sysctls: readonly (readonly [path: string, value: string])[];
  readonly ownCgroupNamespace: boolean;
  /** Whether the child is in a new user namespace and has to become its root first. */
  readonly ownUserNamespace: boolean;
  /** Whose hooks to run; undefined without hooks. */
  readonly hooks: HookSubject | undefined;
}

/** Never comes back: ends in the container's program, or throws what the agent is to hear. */
export function becomeInit(plan: InitPlan, channel: ParentChannel): never {
  applyOomScore(plan.process);
  if (plan.ownUserNamespace) becomeNamespaceRoot();
  // Only now: the root of a cgroup namespace is the cgroup that the process is in.
  if (plan.ownCgroupNamespace) {
    check(kernel().syscall("unshare", CLONE_NEWCGROUP), "make namespace", "cgroup");
  }
  if (plan.hostname !== undefined) setName("sethostname", plan.hostname);
  if (plan.domainname !== undefined) setName("setdomainname", plan.domainname);
  writeSysctls(plan.sysctls);
  const owner = plan.process.credentials.uid;
  const { hooks } = plan;
  // While the agent's /proc is in sight, which tells the number outside of the container's pid namespace.
  const outerPid = hooks === undefined ? 0 : Number(readlink("/proc/self"));
  enterRootFilesystem(plan.rootfs, plan.process.terminal, {
    setUpTerminal: (root, size) => setUpTerminal(root, size, owner, channel, true),
    beforePivot: () => {
      if (hooks === undefined) return;
      channel.letRuntimeHooksRun();
      runHooksHere("createContainer", hooks, outerPid);
    },
  });
  becomeProgram(plan.process, channel, () => {
    channel.waitToStart();
    if (hooks !== undefined) runHooksHere("startContainer", hooks, outerPid);
  });
}

/** Takes the ids that exist in a user namespace: files that it makes have an owner then. */
export function becomeNamespaceRoot(): void {
  check(kernel().syscall("setresgid", 0, 0, 0), "become root of", "user namespace");
  check(kernel().syscall("setresuid", 0, 0, 0), "become root of", "user namespace");
}

function setName(call: "sethostname" | "setdomainname", name: string): void {
  // Host names are ASCII.
  check(kernel().syscall(call, name, name.length), "set host name", name);
}
