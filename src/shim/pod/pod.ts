/**
 * The pod that a shim serves: one sandbox and the containers in it.
 *
 * Everything that happens by itself is watched here: the end of a process, of the virtual machine, a shortage of memory. What a
 * container manager asks for is in `task/`, one verb a file.
 */
import type { Configuration } from "../../config/index.ts";
import { describeError, hasCode, KataError } from "../../kata-error.ts";
import type { Spec } from "../../oci/types.ts";
import type { Logger, ProcessAddress, ProcessEnd, Sandbox, SandboxRequest } from "../../sandbox/types.ts";
import { type CancelSignal, CancelSource } from "../../sys/cancellation.ts";
import { type Clock, withDeadline } from "../../sys/clock.ts";
import type { PackedMessage } from "../any-type.ts";
import type { HookRun } from "../container-hooks.ts";
import { type EventSink, exited, outOfMemory } from "../events/task-events.ts";
import type { Exit } from "../process-state.ts";
import type { StdioPaths } from "../stdio.ts";
import type { ContainedProcess, ProcessStreams } from "./contained-process.ts";
import type { Container } from "./container.ts";

/** What a pod needs of the world; tests hand in their own. */
export interface PodParts {
  readonly openSandbox: (request: SandboxRequest) => Promise<Sandbox>;
  readonly openStreams: (
    sandbox: Sandbox,
    process: ProcessAddress,
    paths: StdioPaths,
  ) => Promise<ProcessStreams>;
  readonly readSpec: (bundle: string) => Spec;
  readonly loadConfiguration: (options: PackedMessage | undefined, spec: Spec) => Configuration;
  /** Notes in `bundle` that it has a sandbox on the host, for who cleans up after a crash; the result takes the note back. */
  readonly claimSandbox: (bundle: string) => () => void;
  readonly runHooks: (run: HookRun) => Promise<void>;
  /** Notes in `bundle` that hooks have run; the result takes the note back. */
  readonly noteHooks: (bundle: string) => () => void;
  /** Tells CRI-O, which looks for it in `bundle`. */
  readonly noteOutOfMemory: (bundle: string) => void;
  readonly events: EventSink;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly logger: Logger;
}

/** What a process is said to have ended with whose virtual machine was lost. */
export const STATUS_LOST = 255;
const SIGKILL = 9;
export const STATUS_KILLED = 128 + SIGKILL;
/** Reports of memory shortage are asked for when a first process has run this long: a start has enough to do, ms. */
const MEMORY_WATCH_MS = 1000;
/** What a process has written shortly before its end comes with its end: that much of each stream, bytes. */
const LAST_OUTPUT_BYTES = 16 << 10;
/** The kernel ends a container's processes with the first one; after this time they are no longer waited for, ms. */
const EXECS_END_MS = 10_000;
/** At the end of the shim, exits are waited for this long to be told, ms. */
const LAST_EXITS_MS = 2000;

type Machine =
  | { readonly name: "none" }
  | { readonly name: "opening" }
  | { readonly name: "running"; readonly sandbox: Sandbox; readonly release: () => void }
  | { readonly name: "stopped" };

interface Creation {
  readonly giveUp: CancelSource;
  readonly settled: Promise<void>;
}

export class Pod {
  readonly parts: PodParts;
  /** Settles when the end begins: nobody shall come any more. */
  readonly ending: Promise<void>;
  /** Settles when the pod has been ended; {@link stopSandbox} tells when nothing of it is left on the host. */
  readonly ended: Promise<void>;
  readonly #containers = new Map<string, Container>();
  readonly #creations = new Map<string, Creation>();
  #machine: Machine = { name: "none" };
  #followsMemory = false;
  #complete: ((spec: Spec) => Spec) | undefined;
  #stopping: Promise<void> | undefined;
  #end: Promise<void> | undefined;
  #tellEnding: () => void = () => undefined;
  #tellEnd: () => void = () => undefined;

  constructor(parts: PodParts) {
    this.parts = parts;
    this.ending = new Promise((resolve) => {
      this.#tellEnding = resolve;
    });
    this.ended = new Promise((resolve) => {
      this.#tellEnd = resolve;
    });
  }

  get containers(): readonly Container[] {
    return [...this.#containers.values()];
  }

  /** Process of the virtual machine monitor; 0 if there is none. */
  get hypervisorPid(): number {
    return this.#machine.name === "running" ? this.#machine.sandbox.hypervisorPid : 0;
  }

  /** Whether a container is there, or about to be, or the sandbox is there for itself. */
  get isInUse(): boolean {
    return this.isKept || this.#containers.size + this.#creations.size > 0;
  }

  /** Whether the machine outlives its containers, and all that come are members of the pod. */
  get isKept(): boolean {
    return this.#complete !== undefined;
  }

  /** From now on the machine's life is the sandbox's own. @param complete makes a container's specification one of this pod. */
  keep(complete: (spec: Spec) => Spec): void {
    this.#complete = complete;
  }

  /** The specification of a container that comes to this pod. */
  complete(spec: Spec): Spec {
    return this.#complete?.(spec) ?? spec;
  }

  /** @throws KataError `not-found`. */
  container(id: string): Container {
    const container = this.#containers.get(id);
    if (container !== undefined) return container;
    throw new KataError("not-found", { operation: "find container", object: id });
  }

  /** The sandbox that containers run in. @throws KataError `failed-precondition` if there is none. */
  get sandbox(): Sandbox {
    if (this.#machine.name === "running") return this.#machine.sandbox;
    throw new KataError("failed-precondition", {
      operation: "use sandbox",
      object: this.#machine.name === "stopped" ? "it has been stopped" : "it has not been started",
    });
  }

  /**
   * Makes a container: `create` is told by its signal when `signal` fires or {@link cancelCreation} is called, and undoes what
   * it did. A shim that nobody waits for then, and that has nothing else, ends.
   *
   * @throws KataError `already-exists` if the id is taken.
   */
  async create(
    id: string,
    signal: CancelSignal,
    create: (giveUp: CancelSignal) => Promise<Container>,
  ): Promise<Container> {
    // One that nobody waits for any more is being undone: what its caller could not hear of, the next one shall not either.
    const before = this.#creations.get(id);
    if (before?.giveUp.signal.aborted) await before.settled;
    if (this.#containers.has(id) || this.#creations.has(id)) {
      throw new KataError("already-exists", { operation: "create container", object: id });
    }
    if (this.#end !== undefined) {
      throw new KataError("unavailable", { operation: "create container", object: "the shim is ending" });
    }
    const giveUp = new CancelSource(signal);
    const work = create(giveUp.signal);
    const settled = work.then(
      () => undefined,
      () => undefined,
    );
    this.#creations.set(id, { giveUp, settled });
    try {
      const container = await work;
      this.#containers.set(id, container);
      return container;
    } finally {
      this.#creations.delete(id);
      // A containerd that has died meanwhile may not know of this shim any more.
      if (signal.aborted && !this.isInUse) void this.end();
    }
  }

  /** Gives up a creation that is under way and waits until it is undone. */
  async cancelCreation(id: string): Promise<void> {
    const creation = this.#creations.get(id);
    if (creation === undefined) return;
    creation.giveUp.cancel();
    await creation.settled;
  }

  /** Forgets a container. With the last one the virtual machine is stopped; {@link end} waits for it. */
  remove(container: Container): void {
    this.#containers.delete(container.id);
    if (!this.isInUse) void this.stopSandbox();
  }

  /**
   * Stops the machine if it is only there for this container, whose processes have ended: the guest need not clean up.
   *
   * @returns false if others have it, or will.
   */
  retire(container: Container): boolean {
    const isLast = this.#containers.size === 1 && this.#containers.has(container.id);
    if (!isLast || this.#creations.size > 0 || this.isKept) return false;
    if (this.#machine.name === "running") this.#machine.sandbox.noteEnd(container.id);
    void this.stopSandbox();
    return true;
  }

  /** Whether there is a guest to ask. */
  get hasMachine(): boolean {
    return this.#machine.name === "running";
  }

  /**
   * Boots the virtual machine.
   *
   * @throws KataError in one line that says what to do; nothing is left on the host then.
   */
  async openSandbox(request: SandboxRequest): Promise<Sandbox> {
    if (this.#machine.name !== "none") {
      throw new KataError("already-exists", {
        operation: "start sandbox",
        object: request.id,
        hint: `the sandbox of this shim is ${this.#machine.name}`,
      });
    }
    const release = this.parts.claimSandbox(request.bundle);
    this.#machine = { name: "opening" };
    try {
      const sandbox = await this.parts.openSandbox(request);
      this.#machine = { name: "running", sandbox, release };
      sandbox.exited.then(() => this.#machineEnded());
      return sandbox;
    } catch (error) {
      this.#machine = { name: "none" };
      release();
      throw error;
    }
  }

  /** Takes {@link openSandbox} back, for the container that the sandbox was started for and that could not be made. */
  async closeSandbox(): Promise<void> {
    if (this.#machine.name !== "running") return;
    const { sandbox, release } = this.#machine;
    await sandbox.stop();
    release();
    this.#machine = { name: "none" };
  }

  /** Waits for the end of a process that runs, and tells of it; once, however often it is called. */
  watch(container: Container, process: ContainedProcess): void {
    if (!process.claimWatch()) return;
    if (!this.#followsMemory) this.parts.clock.after(MEMORY_WATCH_MS, () => this.#followMemory());
    void this.#awaitExit(container, process);
  }

  /** Tells of an end that nobody else tells of. */
  tellExit(container: Container, process: ContainedProcess, exit: Exit): void {
    if (!process.finish(exit)) return;
    const id = process.address.execId || container.id;
    this.parts.events.publish(exited(container.id, id, container.facts.pid, exit));
  }

  /** Ends everything: containers that are left lose their virtual machine. Any number of calls. Never rejects. */
  end(): Promise<void> {
    this.#end ??= this.#endAll();
    return this.#end;
  }

  async #endAll(): Promise<void> {
    this.#tellEnding();
    await Promise.all([...this.#creations.keys()].map((id) => this.cancelCreation(id)));
    await this.#machineGone();
    const exits = Promise.all(this.containers.map(({ init }) => init.exited));
    const what = { operation: "wait for exits", object: "containers" };
    await withDeadline(this.parts.clock, LAST_EXITS_MS, what, exits).catch((error: unknown) => {
      this.parts.logger.warn("a container's end was not told", { error: describeError(error) });
    });
    this.#tellEnd();
  }

  /** Stops the virtual machine and waits for its end, but not for all that the host gets back with it. */
  async #machineGone(): Promise<void> {
    const machine = this.#machine;
    const stopped = this.stopSandbox();
    await (machine.name === "running" ? Promise.race([stopped, machine.sandbox.exited]) : stopped);
  }

  /**
   * Stops the virtual machine, if it runs, and gives back what it had; there will be no other. Any number of calls. Never
   * rejects.
   */
  stopSandbox(): Promise<void> {
    this.#stopping ??= this.#stopMachine();
    return this.#stopping;
  }

  async #stopMachine(): Promise<void> {
    const machine = this.#machine;
    if (machine.name === "running") {
      try {
        await machine.sandbox.stop();
        machine.release();
      } catch (error) {
        this.parts.logger.error("stop sandbox", { error: describeError(error) });
      }
    }
    this.#machine = { name: "stopped" };
  }

  async #awaitExit(container: Container, process: ContainedProcess): Promise<void> {
    const { status, output } = await this.#endOf(process);
    const at = this.parts.wallClock();
    process.finishWith(output);
    if (process === container.init) {
      container.noteInitEnd();
      await this.#endExecs(container);
    }
    await process.drained();
    if (status === STATUS_KILLED) this.#followMemory();
    else if (process === container.init && standsAlone(container)) this.retire(container);
    this.tellExit(container, process, { status, at });
  }

  /** Asks for shortages of memory from now on. */
  #followMemory(): void {
    if (this.#followsMemory || this.#machine.name !== "running") return;
    this.#followsMemory = true;
    this.#watchMemory(this.#machine.sandbox).catch((error: unknown) => {
      this.parts.logger.debug("no more reports of memory shortage", { error: describeError(error) });
    });
  }

  async #endOf(process: ContainedProcess): Promise<ProcessEnd> {
    try {
      return await this.sandbox.wait(process.address, LAST_OUTPUT_BYTES);
    } catch (error) {
      this.parts.logger.warn("the end of a process is unknown", {
        process: process.name,
        error: describeError(error),
      });
      return { status: STATUS_LOST };
    }
  }

  /** Execs end, and are told of, before the container's own end is told. */
  async #endExecs(container: Container): Promise<void> {
    await Promise.all(container.execs.map((exec) => exec.startSettled()));
    const left = container.execs.filter(({ state }) => state.name === "running");
    if (left.length === 0) return;
    const { clock, logger } = this.parts;
    for (const exec of left) {
      try {
        await this.sandbox.signal(exec.address, SIGKILL, false);
      } catch (error) {
        // With a process namespace of its own, the kernel has ended it by now.
        if (!hasCode(error, "not-found", "failed-precondition", "unavailable")) {
          logger.warn("end process", { process: exec.name, error: describeError(error) });
        }
      }
    }
    const what = { operation: "wait for processes", object: container.id };
    const exits = Promise.all(left.map((exec) => exec.exited));
    await withDeadline(clock, EXECS_END_MS, what, exits).catch((error: unknown) => {
      logger.warn("a process outlives its container", { error: describeError(error) });
    });
  }

  /** Whatever ran has ended with the machine. */
  #machineEnded(): void {
    for (const container of this.containers) {
      for (const process of container.processes) {
        if (process.state.name === "created" && process !== container.init) {
          process.finish({ status: STATUS_LOST, at: this.parts.wallClock() });
        } else {
          this.watch(container, process);
        }
      }
    }
  }

  async #watchMemory(sandbox: Sandbox): Promise<void> {
    for (;;) {
      const id = await sandbox.nextOutOfMemory();
      this.parts.events.publish(outOfMemory(id));
      const container = this.#containers.get(id);
      if (container?.facts.crio === true) this.parts.noteOutOfMemory(container.facts.bundle);
    }
  }
}

/** Whether a container that has ended takes all with it: no other can join it any more. */
function standsAlone({ facts, execs }: Container): boolean {
  return facts.role.role === "single" && execs.every(({ state }) => state.name !== "running");
}
