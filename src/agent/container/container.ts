/**
 * A container's life in the agent: `created → running ⇄ paused → stopped`.
 *
 * Verbs at the wrong time are refused in a sentence that says what the state is. A container is stopped when its first
 * process has ended; what is left of it stays until it is removed.
 */
import { KataError } from "../../kata-error.ts";
import { hooksDeadlineMs } from "../../oci/hooks.ts";
import type { Spec } from "../../oci/types.ts";
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { SIGKILL, SIGTERM } from "../../sys/process.ts";
import type { Rollback } from "../../sys/rollback.ts";
import type { ChildChannel } from "./child-channel.ts";
import type { ContainerCgroup } from "./container-cgroup.ts";
import type { ContainerProcess } from "./container-process.ts";
import { handlesSignal } from "./signal-handlers.ts";

export type ContainerState = "created" | "running" | "paused" | "stopped";

/** Ended exec processes whose status is kept for who asks late: health checks run for ever. */
const MAX_FINISHED_PROCESSES = 256;
/** The program's start is one system call. */
const START_DEADLINE_MS = 30_000;

export interface ContainerParts {
  readonly id: string;
  readonly spec: Spec;
  readonly cgroup: ContainerCgroup;
  readonly init: ContainerProcess;
  readonly channel: ChildChannel;
  /** `CLONE_NEW*` of the namespaces that an exec joins, besides the pid namespace. */
  readonly namespaces: number;
  /** Whether the kernel ends all other processes with the first one. */
  readonly ownPidNamespace: boolean;
  /** What removing it gives back. */
  readonly resources: Rollback;
}

export class Container {
  readonly id: string;
  readonly spec: Spec;
  readonly cgroup: ContainerCgroup;
  readonly init: ContainerProcess;
  readonly namespaces: number;
  readonly #channel: ChildChannel;
  readonly #resources: Rollback;
  readonly #ownPidNamespace: boolean;
  readonly #execs = new Map<string, ContainerProcess>();
  /** Ids of execs that are being started. */
  readonly #starting = new Set<string>();
  #state: Exclude<ContainerState, "stopped"> = "created";

  constructor(parts: ContainerParts) {
    this.id = parts.id;
    this.spec = parts.spec;
    this.cgroup = parts.cgroup;
    this.init = parts.init;
    this.namespaces = parts.namespaces;
    this.#channel = parts.channel;
    this.#resources = parts.resources;
    this.#ownPidNamespace = parts.ownPidNamespace;
    this.init.exited.then(() => this.#ended());
  }

  get state(): ContainerState {
    return this.init.status === undefined ? this.#state : "stopped";
  }

  /** The process `execId`, or the first one for an empty id. @throws KataError `not-found`. */
  process(execId: string): ContainerProcess {
    // Upstream's hosts name the first process by the container's own id, too.
    if (execId === "" || execId === this.id) return this.init;
    const found = this.#execs.get(execId);
    if (found !== undefined) return found;
    throw new KataError("not-found", {
      operation: "find process",
      object: `exec ${execId} of container ${this.id}`,
    });
  }

  /** Its processes, the first one first; those that the host has started with the names that it gave them. */
  processes(): { readonly pid: number; readonly execId: string }[] {
    const names = new Map(
      [...this.#execs.values()]
        .filter(({ status }) => status === undefined)
        .map(({ pid, execId }) => [pid, execId]),
    );
    const pids = this.cgroup.pids().filter((pid) => pid !== this.init.pid);
    const first = this.init.status === undefined ? [this.init.pid] : [];
    return [...first, ...pids].map((pid) => ({ pid, execId: names.get(pid) ?? "" }));
  }

  /** @throws KataError `failed-precondition` unless it is in one of `states`. */
  require(verb: string, ...states: ContainerState[]): void {
    if (states.includes(this.state)) return;
    throw new KataError("failed-precondition", {
      operation: `${verb} container ${this.id}`,
      object: `it is ${this.state}`,
    });
  }

  /** Starts its program. @throws KataError what execve or a late set-up step failed with; it is stopped then. */
  async start(): Promise<void> {
    this.require("start", "created");
    await this.#channel.start();
    const what = { operation: "start container", object: this.id };
    const deadline = START_DEADLINE_MS + hooksDeadlineMs(this.spec.hooks?.startContainer);
    const message = await withDeadline(loop, deadline, what, this.#channel.next());
    this.#channel.close();
    if (message.kind === "failed") {
      await this.init.exited;
      throw message.error;
    }
    this.#state = "running";
  }

  pause(): Promise<void> {
    this.require("pause", "running");
    return this.cgroup.freeze().then(() => {
      this.#state = "paused";
    });
  }

  async resume(): Promise<void> {
    this.require("resume", "paused");
    await this.cgroup.thaw();
    this.#state = "running";
  }

  /**
   * Keeps `execId` for a process that is about to start, until the result is disposed of.
   *
   * @throws KataError `already-exists` if a process of this name runs or its end has not been asked for.
   */
  reserveExec(execId: string): Disposable {
    const old = this.#execs.get(execId);
    const taken = this.#starting.has(execId) || (old !== undefined && !old.isForgettable);
    if (taken || execId === "" || execId === this.id) {
      throw new KataError("already-exists", {
        operation: "run process",
        object: `exec ${JSON.stringify(execId)}`,
      });
    }
    this.#starting.add(execId);
    return { [Symbol.dispose]: () => void this.#starting.delete(execId) };
  }

  /** Takes over a process that has been started. */
  addExec(process: ContainerProcess): void {
    this.#forget(process.execId);
    // Those that somebody still wants something of go last.
    for (const isOver of [(old: ContainerProcess) => old.isFinished, hasEnded]) {
      for (const [id, old] of this.#execs) {
        if (this.#execs.size < MAX_FINISHED_PROCESSES) break;
        if (isOver(old)) this.#forget(id);
      }
    }
    this.#execs.set(process.execId, process);
  }

  #forget(execId: string): void {
    this.#execs.get(execId)?.close();
    this.#execs.delete(execId);
  }

  /**
   * Sends a signal to a process; one that has ended is no error.
   *
   * SIGKILL without an exec id ends all processes of the container; SIGTERM to a first process that has no handler for
   * it becomes SIGKILL, as the kernel would drop it. Source: upstream's agent protocol, SignalProcess.
   */
  async signal(execId: string, signal: number): Promise<void> {
    if (execId === "" && signal === SIGKILL) {
      await this.killAll();
      return;
    }
    const process = this.process(execId);
    const isInit = process === this.init;
    const effective =
      isInit && signal === SIGTERM && process.status === undefined && !handlesSignal(process.pid, signal)
        ? SIGKILL
        : signal;
    process.signal(effective);
  }

  /** Ends every process. A paused container comes back to life to die. */
  async killAll(): Promise<void> {
    this.init.signal(SIGKILL);
    await this.cgroup.killAll();
    if (this.#state === "paused") this.#state = "running";
  }

  /**
   * Ends what runs and gives everything back.
   *
   * @param deadlineMs 0 to wait as long as it takes.
   */
  async remove(deadlineMs: number): Promise<void> {
    await this.killAll();
    const exits = Promise.all([this.init.exited, ...[...this.#execs.values()].map((exec) => exec.exited)]);
    const what = { operation: "remove container", object: this.id, hint: "a process does not end" };
    await (deadlineMs === 0 ? exits : withDeadline(loop, deadlineMs, what, exits));
    this.#channel.close();
    this.init.close();
    for (const exec of this.#execs.values()) exec.close();
    await this.#resources.run();
  }

  /** The first process has ended: where the kernel does not end the others, the agent does. */
  #ended(): void {
    if (this.#ownPidNamespace) return;
    // A failure shows itself again, and to somebody, when the container is removed.
    this.cgroup.killAll().catch(() => undefined);
  }
}

function hasEnded(process: ContainerProcess): boolean {
  return process.status !== undefined;
}
