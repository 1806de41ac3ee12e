/**
 * Processes beside the containers: the guest's own, for who looks for a fault in it (`kata-runtime exec`). They have the agent's
 * namespaces and root directory, and all capabilities, so they are run only if the machine was booted with `agent.debug_console`.
 *
 * The policy in force sees them as requests about a container of the name {@link GUEST_ITSELF}, which one made for a pod refuses.
 */
import { KataError } from "../../kata-error.ts";
import { CAPABILITY_NAMES } from "../../oci/capabilities.ts";
import { GUEST_ITSELF } from "../../oci/guest-itself.ts";
import type { Process } from "../../oci/types.ts";
import type { ContainerProcess } from "../container/container-process.ts";
import { type ContainerContext, checkId } from "../container/create-container.ts";
import { becomeExec } from "../container/exec-process.ts";
import { launch } from "../container/launch.ts";
import { planProcess } from "../container/plan-process.ts";
import { startedProcess } from "../container/started-process.ts";

/** Each is a person at a terminal, or a copy of files. */
const MAX_PROCESSES = 64;

export class GuestProcesses {
  readonly #allowed: boolean;
  readonly #processes = new Map<string, ContainerProcess>();
  readonly #starting = new Set<string>();

  /** @param allowed whether the machine's owner wants there to be any. */
  constructor(allowed: boolean) {
    this.#allowed = allowed;
  }

  /** Runs `process` in the guest itself as `execId`. @throws KataError `permission-denied` where nobody may. */
  async run(execId: string, process: Process, context: ContainerContext): Promise<void> {
    if (!this.#allowed) {
      throw new KataError("permission-denied", {
        operation: "run process in the guest",
        object: "it has no debug console",
        hint: "set debug_console_enabled = true in [agent] of the configuration, for pods that start after it",
      });
    }
    checkId(execId, "exec");
    this.#forgetFinished();
    if (this.#starting.has(execId) || this.#processes.has(execId)) {
      throw new KataError("already-exists", { operation: "run process", object: `exec ${execId}` });
    }
    if (this.#processes.size + this.#starting.size >= MAX_PROCESSES) {
      throw new KataError("resource-exhausted", {
        operation: "run process in the guest",
        object: execId,
        hint: `there are ${MAX_PROCESSES} already`,
      });
    }
    this.#starting.add(execId);
    try {
      this.#processes.set(execId, await start(execId, process, context));
    } finally {
      this.#starting.delete(execId);
    }
  }

  /** @throws KataError `not-found`. */
  process(execId: string): ContainerProcess {
    const process = this.#processes.get(execId);
    if (process !== undefined) return process;
    throw new KataError("not-found", {
      operation: "find process",
      object: `${JSON.stringify(execId.slice(0, 128))} of the guest`,
    });
  }

  #forgetFinished(): void {
    for (const [execId, process] of this.#processes) {
      if (!process.isForgettable) continue;
      process.close();
      this.#processes.delete(execId);
    }
  }
}

async function start(
  execId: string,
  process: Process,
  { reaper, pipeSize }: ContainerContext,
): Promise<ContainerProcess> {
  const all = CAPABILITY_NAMES;
  const capabilities = { bounding: all, effective: all, permitted: all };
  const plan = planProcess({ ...process, capabilities }, { ociVersion: "1.0.2" }, GUEST_ITSELF);
  const child = await launch(
    {
      hasTerminal: plan.terminal !== undefined,
      pipeSize,
      cloneFlags: 0,
      joined: [],
      given: [],
      prepare: () => undefined,
      body: (channel) => becomeExec({ process: plan, namespaces: 0 }, channel),
    },
    reaper,
  );
  return await startedProcess(child, execId);
}
