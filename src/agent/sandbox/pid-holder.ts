/** Process 1 of a pid namespace that the containers of a pod share: it does nothing, and takes in orphans. */
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { O_RDONLY, open } from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";
import {
  CLONE_NEWPID,
  clone,
  closeFrom,
  ignoreSignal,
  PR_SET_PDEATHSIG,
  pidfdSendSignal,
  prctl,
  resetSignals,
  SIGCHLD,
  SIGKILL,
  setProcessName,
} from "../../sys/process.ts";
import { exit } from "../../sys/program.ts";
import type { ChildReaper } from "../child-reaper.ts";

export interface PidHolder {
  /** The pid namespace; open as long as the holder is there. */
  readonly namespace: FileDescriptor;
  /** Ends the holder, and with it every process in the namespace. */
  end(): Promise<void>;
}

export function startPidHolder(reaper: ChildReaper): PidHolder {
  const cloned = clone({ flags: CLONE_NEWPID });
  if (cloned.role === "child") standStill("pause");
  const exited = reaper.exitOf(cloned.pid);
  const end = async (): Promise<void> => {
    pidfdSendSignal(cloned.pidfd, SIGKILL);
    await exited;
    cloned.pidfd.close();
  };
  try {
    const namespace = open(`/proc/${cloned.pid}/ns/pid`, O_RDONLY);
    return {
      namespace,
      end: () => {
        namespace.close();
        return end();
      },
    };
  } catch (error) {
    end().catch(() => undefined);
    throw error;
  }
}

/** In a fresh clone of the agent: keeps its namespaces alive until it is killed. @param name for ps. */
export function standStill(name: string): never {
  try {
    loop.abandon();
    closeFrom(0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setProcessName(name);
    resetSignals();
    // Whoever ignores SIGCHLD leaves no zombies (sigaction(2), "NOTES").
    ignoreSignal(SIGCHLD);
    // Comes back with EINTR after a signal that has been taken.
    for (;;) kernel().syscall("ppoll", null, 0, null, null, 8);
  } finally {
    exit(1);
  }
}
