/** A container in the shim: its first process and the execs that joined it. */
import { KataError } from "../../kata-error.ts";
import type { ContainerHooks } from "../container-hooks.ts";
import type { ContainerRole } from "../grouping.ts";
import type { ContainedProcess } from "./contained-process.ts";

export interface ContainerFacts {
  readonly id: string;
  readonly bundle: string;
  readonly role: ContainerRole;
  /** Of the virtual machine monitor: what the host has of the container's processes. */
  readonly pid: number;
  /** Whether CRI-O made it, which learns of a shortage of memory by a file. */
  readonly crio: boolean;
}

/** Most execs of a container that are known at once, ended and not yet deleted ones included. */
const MAX_EXECS = 4096;

export class Container {
  readonly facts: ContainerFacts;
  readonly init: ContainedProcess;
  readonly hooks: ContainerHooks;
  readonly #execs = new Map<string, ContainedProcess>();
  #initEnded = false;

  constructor(facts: ContainerFacts, init: ContainedProcess, hooks: ContainerHooks) {
    this.facts = facts;
    this.init = init;
    this.hooks = hooks;
  }

  get id(): string {
    return this.facts.id;
  }

  get execs(): readonly ContainedProcess[] {
    return [...this.#execs.values()];
  }

  get processes(): readonly ContainedProcess[] {
    return [this.init, ...this.#execs.values()];
  }

  /** The first process has ended, although nobody has been told yet: no other may start any more. */
  noteInitEnd(): void {
    this.#initEnded = true;
  }

  /** @throws KataError `failed-precondition` unless the container runs, so that a process can join it. */
  mustTakeProcesses(): void {
    const { name } = this.init.state;
    if (name === "running" && !this.#initEnded) return;
    throw new KataError("failed-precondition", {
      operation: `run process in ${this.id}`,
      object: `the container is ${name === "running" ? "stopping" : name}`,
    });
  }

  /** @param execId empty for the first process. @throws KataError `not-found`. */
  process(execId: string): ContainedProcess {
    const process = execId === "" ? this.init : this.#execs.get(execId);
    if (process !== undefined) return process;
    throw new KataError("not-found", { operation: "find process", object: `${execId} in ${this.id}` });
  }

  /** @throws KataError `already-exists` if the name is taken, `resource-exhausted` if there are too many. */
  mustBeFree(execId: string): void {
    if (this.#execs.has(execId)) {
      throw new KataError("already-exists", { operation: "add process", object: `${execId} in ${this.id}` });
    }
    if (this.#execs.size >= MAX_EXECS) {
      throw new KataError("resource-exhausted", {
        operation: "add process",
        object: `${execId} in ${this.id}`,
        hint: `it has ${MAX_EXECS} already; delete those that have ended`,
      });
    }
  }

  addExec(process: ContainedProcess): void {
    this.mustBeFree(process.address.execId);
    this.#execs.set(process.address.execId, process);
  }

  removeExec(process: ContainedProcess): void {
    this.#execs.delete(process.address.execId);
  }
}
