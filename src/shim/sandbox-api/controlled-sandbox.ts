/**
 * A sandbox that containerd brings up, asks about and ends by itself, with containers joining it or none:
 * `absent → created → ready → ended`.
 *
 * Source: containerd, service containerd.runtime.sandbox.v1.Sandbox and its daemon's use of it.
 */
import { describeError, KataError } from "../../kata-error.ts";
import type { Spec } from "../../oci/types.ts";
import type { Sandbox } from "../../sandbox/types.ts";
import { type CancelSignal, CancelSource } from "../../sys/cancellation.ts";
import { withDeadline } from "../../sys/clock.ts";
import type { CreateSandboxRequest, PodSandboxConfig } from "../generated.ts";
import { type Pod, STATUS_LOST } from "../pod/pod.ts";
import type { Exit } from "../process-state.ts";
import {
  checkSandbox,
  memberSpecification,
  type PodFiles,
  podConfigOf,
  podSpecification,
} from "./pod-specification.ts";

export interface ControlledSandboxParts {
  readonly writePodFiles: (bundle: string, config: PodSandboxConfig) => PodFiles;
}

type State =
  | { readonly name: "absent" }
  | { readonly name: "created"; readonly bundle: string; readonly spec: Spec }
  | { readonly name: "ready"; readonly sandbox: Sandbox; readonly since: number }
  | { readonly name: "ended"; readonly since: number; readonly exit: Exit };

/** Ended in good order. */
const STATUS_STOPPED = 0;
const SIGKILL = 9;
/** Killed containers have ended, and their ends are told, within this time unless the caller says another, ms. */
const CONTAINERS_END_MS = 5000;

export class ControlledSandbox {
  readonly #pod: Pod;
  readonly #parts: ControlledSandboxParts;
  /** Settles when the sandbox has ended. Never rejects. */
  readonly #exited: Promise<Exit>;
  #id: string | undefined;
  #state: State = { name: "absent" };
  #starting: { readonly giveUp: CancelSource; readonly settled: Promise<unknown> } | undefined;
  #tellExit: (exit: Exit) => void = () => undefined;

  constructor(pod: Pod, parts: ControlledSandboxParts) {
    this.#pod = pod;
    this.#parts = parts;
    this.#exited = new Promise((resolve) => {
      this.#tellExit = resolve;
    });
  }

  /**
   * Prepares the sandbox; nothing runs yet.
   *
   * @throws KataError `already-exists` if this shim has a sandbox or containers.
   */
  create(request: CreateSandboxRequest): void {
    const { sandboxId: id, bundlePath: bundle, options, netnsPath, annotations } = request;
    if (this.#state.name !== "absent" || this.#pod.isInUse) {
      throw new KataError("already-exists", { operation: "create sandbox", object: id });
    }
    const config = podConfigOf(options);
    const pod = podSpecification({ id, options, networkNamespace: netnsPath, annotations }, config);
    const files = config === undefined ? undefined : this.#parts.writePodFiles(bundle, config);
    const resolvConf = files?.paths.get("/etc/resolv.conf");
    const mount = { destination: "/etc/resolv.conf", type: "bind", options: ["rbind", "ro"] };
    const spec = resolvConf === undefined ? pod : { ...pod, mounts: [{ ...mount, source: resolvConf }] };
    this.#id = id;
    this.#state = { name: "created", bundle, spec };
    this.#pod.keep((member) => memberSpecification(member, pod, files));
  }

  /**
   * Boots the machine.
   *
   * @param signal fires when nobody waits any more: all that was made is undone then.
   * @throws KataError in one line that says what to do; the sandbox stays created then.
   */
  async start(id: string, signal: CancelSignal): Promise<{ readonly pid: number; readonly since: number }> {
    checkSandbox(this.#id, id);
    if (this.#state.name !== "created" || this.#starting !== undefined) {
      throw new KataError("failed-precondition", {
        operation: `start sandbox ${id}`,
        object: this.#starting === undefined ? `it is ${this.#state.name}` : "it is being started",
      });
    }
    const giveUp = new CancelSource(signal);
    const work = this.#boot(id, this.#state, giveUp.signal);
    const settled = work.then(
      () => undefined,
      () => undefined,
    );
    this.#starting = { giveUp, settled };
    try {
      return await work;
    } finally {
      this.#starting = undefined;
    }
  }

  async #boot(id: string, { bundle, spec }: Extract<State, { name: "created" }>, signal: CancelSignal) {
    const { parts } = this.#pod;
    const { logger } = parts;
    const configuration = parts.loadConfiguration(undefined, spec);
    for (const warning of configuration.warnings) logger.warn(warning);
    const sandbox = await this.#pod.openSandbox({ id, configuration, spec, bundle, logger, signal });
    const since = parts.wallClock();
    this.#state = { name: "ready", sandbox, since };
    void sandbox.exited.then(({ expected }) => {
      const exit = { status: expected ? STATUS_STOPPED : STATUS_LOST, at: parts.wallClock() };
      this.#state = { name: "ended", since, exit };
      this.#tellExit(exit);
    });
    return { pid: sandbox.hypervisorPid, since };
  }

  /** Ends what runs in it, then the machine. No error if it has ended or never ran. */
  async stop(id: string, timeoutMs = CONTAINERS_END_MS): Promise<void> {
    checkSandbox(this.#id, id);
    await this.#giveUpStart();
    await this.#endContainers(timeoutMs);
    await this.#pod.stopSandbox();
    if (this.#state.name !== "created") return;
    const at = this.#pod.parts.wallClock();
    const exit = { status: STATUS_STOPPED, at };
    this.#state = { name: "ended", since: at, exit };
    this.#tellExit(exit);
  }

  /** Ends the sandbox and lets the shim end. Any number of calls. */
  async shutdown(): Promise<void> {
    await this.#giveUpStart();
    await this.#pod.end();
  }

  /** How it ended, once it has. */
  wait(id: string): Promise<Exit> {
    checkSandbox(this.#id, id);
    return this.#exited;
  }

  /** @throws KataError `not-found` for another sandbox. */
  status(id: string) {
    checkSandbox(this.#id, id);
    const { name } = this.#state;
    const since = "since" in this.#state ? this.#state.since : undefined;
    const exit = "exit" in this.#state ? this.#state.exit : undefined;
    return { isReady: name === "ready", pid: this.#pod.hypervisorPid, since, exit };
  }

  /** @throws KataError `unavailable` unless the machine runs. */
  mustBeReady(id: string): void {
    checkSandbox(this.#id, id);
    if (this.#state.name === "ready") return;
    throw new KataError("unavailable", {
      operation: `use sandbox ${id}`,
      object: `it is ${this.#state.name}`,
    });
  }

  async #giveUpStart(): Promise<void> {
    this.#starting?.giveUp.cancel();
    await this.#starting?.settled;
  }

  /** Each container's end is told as what it is, a kill, and not as the loss of its machine. */
  async #endContainers(timeoutMs: number): Promise<void> {
    if (this.#state.name !== "ready") return;
    const { sandbox } = this.#state;
    const { clock, logger } = this.#pod.parts;
    const running = this.#pod.containers.filter(({ init }) =>
      ["running", "paused"].includes(init.state.name),
    );
    for (const { init } of running) {
      await sandbox.signal(init.address, SIGKILL, true).catch((error: unknown) => {
        logger.debug("end container", { container: init.name, error: describeError(error) });
      });
    }
    const ends = Promise.all(running.map(({ init }) => init.exited));
    const what = { operation: "wait for containers", object: this.#id ?? "" };
    await withDeadline(clock, timeoutMs, what, ends).catch((error: unknown) => {
      logger.warn("a container outlives its sandbox's end", { error: describeError(error) });
    });
  }
}
