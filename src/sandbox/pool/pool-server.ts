/**
 * The pool: keeps machines ready and gives them away, first come, first served.
 *
 * It makes one machine at a time, at low priority, and only once nobody has asked for one for a moment: those who start pods come
 * first. If nothing is ready the answer is no, at once, and the pod's machine is cloned. Whatever happens to the pool, machines that were
 * given away live on, and machines that were not end with it.
 */
import { describeError, KataError } from "../../kata-error.ts";
import { type Clock, sleep, withDeadline } from "../../sys/clock.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import {
  chmod,
  flock,
  mkdirAll,
  O_CREAT,
  O_NOFOLLOW,
  O_RDWR,
  open,
  unlinkIfExists,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { getpid } from "../../sys/process.ts";
import { accept, listen, peerCredentials, socketPair } from "../../sys/socket.ts";
import { templateName } from "../template/template-name.ts";
import type { Logger } from "../types.ts";
import { availableMemoryMib } from "./available-memory.ts";
import { forgetMachine, keepMachineFor, keptMachines, type MachineSize } from "./kept-machines.ts";
import {
  type MachineOffer,
  type PoolRequest,
  type PoolStatus,
  parseOffer,
  parseRequest,
  receiveLine,
  sendLine,
} from "./pool-protocol.ts";
import { removeRemains } from "./remains.ts";
import type { NamedDescriptor, ServiceManager } from "./service-manager.ts";

/** What the pool is to have; asked anew before each machine, since files and configuration change. */
export interface PoolPlan extends MachineSize {
  readonly machines: number;
  /** @throws KataError if a file that machines are made of is missing. */
  readonly key: () => string;
  /** Most memory that the machines' guests may have together, MiB; 0 for no limit but the host's. */
  readonly memoryBudgetMib: number;
}

export interface PoolParts {
  readonly endpoint: string;
  /** A socket that is open already (systemd's); otherwise the endpoint is made. */
  readonly socket: FileDescriptor | undefined;
  /** Who keeps machines while this service is restarted, and what it had kept. */
  readonly manager: ServiceManager | undefined;
  readonly kept: readonly NamedDescriptor[];
  readonly plan: () => PoolPlan;
  /** Starts a keeper with the other end of its lifeline, for a machine of that name. */
  readonly startKeeper: (name: string, lifeline: FileDescriptor) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Entry {
  readonly name: string;
  readonly offer: MachineOffer;
  readonly size: MachineSize;
  readonly lifeline: FdStream;
  readonly descriptors: readonly FileDescriptor[];
}

/** A claim is one short line. */
const REQUEST_DEADLINE_MS = 2000;
/** After the last claim, ms. */
const QUIET_MS = 1500;
/** Claims that never stop shall not starve the pool: this long after it fell short it makes a machine among them, ms. */
const LONGEST_WAIT_MS = 15_000;
/** A machine is not made unless this share of the host's memory stays available beside it. */
const KEPT_FREE = 0.1;
const BUILD_DEADLINE_MS = 180_000;
/** After a failure, ms; doubled with each, to at most the second. */
const FIRST_RETRY_MS = 2000;
const LAST_RETRY_MS = 300_000;
/** Without reason to look again sooner, ms: files of the configuration change without telling. */
const LOOK_AGAIN_MS = 10_000;

export class PoolServer {
  readonly #parts: PoolParts;
  readonly #prefix: string;
  readonly #entries: Entry[] = [];
  #socket: FileDescriptor | undefined;
  #lock: FileDescriptor | undefined;
  #made = 0;
  #given = 0;
  #refused = 0;
  #building = false;
  #obstacle = "";
  #lastClaim = Number.NEGATIVE_INFINITY;
  /** Since when fewer machines are ready than are wanted. */
  #shortSince: number | undefined;
  #stopped = false;
  #wake: () => void = () => undefined;

  constructor(parts: PoolParts) {
    this.#parts = parts;
    this.#prefix = `pool-${templateName(parts.endpoint)}-`;
  }

  /** Serves until {@link stop}. @throws KataError `already-exists` if another pool serves at the endpoint. */
  async serve(): Promise<void> {
    this.#listen();
    await this.#takeBack();
    removeRemains(this.#prefix);
    await this.#parts.manager?.ready();
    const refilling = this.#refill();
    const socket = this.#socket;
    try {
      while (socket?.isOpen) {
        const stream = await accept(socket);
        void this.#attend(stream);
      }
    } catch (error) {
      if (!this.#stopped) throw error;
    }
    await refilling;
  }

  /** Takes no more claims and ends the machines that are ready. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#socket !== undefined) {
      loop.forget(this.#socket.fd);
      this.#socket.close();
    }
    if (this.#parts.socket === undefined) unlinkIfExists(this.#parts.endpoint);
    for (const entry of this.#entries.splice(0)) drop(entry);
    this.#lock?.close();
    this.#wake();
  }

  get status(): PoolStatus {
    let wanted = 0;
    let memoryBudgetMib = 0;
    let obstacle = this.#obstacle;
    try {
      ({ machines: wanted, memoryBudgetMib } = this.#parts.plan());
    } catch (error) {
      obstacle = describeError(error);
    }
    return {
      kind: "status",
      pid: getpid(),
      wanted,
      ready: this.#entries.map(({ offer, size }) => ({ pid: offer.hypervisorPid, ...size })),
      memoryBudgetMib,
      building: this.#building,
      given: this.#given,
      refused: this.#refused,
      obstacle,
    };
  }

  #listen(): void {
    const { endpoint, socket } = this.#parts;
    const slash = endpoint.lastIndexOf("/");
    mkdirAll(endpoint.slice(0, slash), 0o755);
    const lock = open(`${endpoint}.lock`, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
    if (!flock(lock.fd, "exclusive", false)) {
      lock.close();
      throw new KataError("already-exists", {
        operation: "serve pool",
        object: endpoint,
        hint: "another kata-runtime factory serve is there; kata-runtime factory status shows it",
      });
    }
    this.#lock = lock;
    if (socket !== undefined) {
      this.#socket = socket;
      return;
    }
    unlinkIfExists(endpoint);
    this.#socket = listen({ kind: "unix", path: endpoint });
    chmod(endpoint, 0o600);
  }

  /** Machines of this service before it was restarted. */
  async #takeBack(): Promise<void> {
    const { kept, logger, manager } = this.#parts;
    const { machines, broken } = keptMachines(kept, logger);
    for (const { name, offer, size, descriptors } of machines) {
      const [lifeline, ...others] = descriptors;
      if (lifeline === undefined) continue;
      const entry: Entry = { name, offer, size, lifeline: new FdStream(lifeline), descriptors: others };
      this.#entries.push(entry);
      this.#watch(entry);
    }
    if (manager !== undefined) for (const name of broken) await forgetMachine(manager, name);
    if (machines.length > 0) logger.info("machines have outlived a restart", { count: machines.length });
  }

  async #attend(stream: FdStream): Promise<void> {
    const { logger, clock } = this.#parts;
    try {
      if (peerCredentials(stream.fd).uid !== check(kernel().syscall("geteuid"), "read own", "user")) {
        logger.warn("refused a claim of another user");
        return;
      }
      const what = { operation: "read claim", object: "from a shim" };
      const line = await withDeadline(clock, REQUEST_DEADLINE_MS, what, receiveLine(stream));
      for (const descriptor of line?.descriptors ?? []) descriptor.close();
      const request = parseRequest(line?.value);
      if (request !== undefined) await this.#answer(stream, request);
    } catch (error) {
      logger.debug("a claim has failed", { error: describeError(error) });
    } finally {
      stream.close();
    }
  }

  async #answer(stream: FdStream, request: PoolRequest): Promise<void> {
    if (request.do === "status") return await sendLine(stream, this.status);
    this.#lastClaim = this.#parts.clock.now();
    const index = this.#entries.findIndex(({ offer }) => offer.key === request.key);
    const entry = index < 0 ? undefined : this.#entries.splice(index, 1)[0];
    if (entry === undefined) {
      this.#refused++;
      const reason =
        this.#entries.length === 0
          ? "no machine is ready"
          : "the machines are of another configuration or size";
      return await sendLine(stream, { kind: "refused", reason });
    }
    try {
      const { manager } = this.#parts;
      if (manager !== undefined) await forgetMachine(manager, entry.name);
      const descriptors = [entry.lifeline.fd, ...entry.descriptors.map(({ fd }) => fd)];
      await sendLine(stream, entry.offer, descriptors);
      this.#given++;
    } finally {
      // What did not arrive has no owner any more, and ends.
      drop(entry);
      this.#wake();
    }
  }

  async #refill(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (!this.#stopped) {
      try {
        const waitMs = await this.#step();
        this.#obstacle = waitMs.obstacle;
        retryMs = FIRST_RETRY_MS;
        if (waitMs.ms > 0) await this.#pause(waitMs.ms);
      } catch (error) {
        this.#obstacle = describeError(error);
        this.#parts.logger.warn("a machine of the pool could not be made", { reason: this.#obstacle });
        await this.#pause(retryMs);
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
      }
    }
  }

  /** @returns what to wait before the next step. */
  async #step(): Promise<{ readonly ms: number; readonly obstacle: string }> {
    const { clock, plan } = this.#parts;
    const wanted = plan();
    const key = wanted.key();
    for (const entry of this.#entries.filter(({ offer }) => offer.key !== key)) this.#remove(entry);
    while (this.#entries.length > wanted.machines) this.#remove(this.#entries[0]);
    if (this.#entries.length === wanted.machines) {
      this.#shortSince = undefined;
      return { ms: LOOK_AGAIN_MS, obstacle: "" };
    }
    this.#shortSince ??= clock.now();
    const waitUntil = Math.min(this.#lastClaim + QUIET_MS, this.#shortSince + LONGEST_WAIT_MS);
    const quietIn = waitUntil - clock.now();
    if (quietIn > 0) return { ms: quietIn, obstacle: "pods are being started, which come first" };
    const used = this.#entries.reduce((sum, { size }) => sum + size.memoryMib, 0);
    const { memoryBudgetMib } = wanted;
    if (memoryBudgetMib > 0 && used + wanted.memoryMib > memoryBudgetMib) {
      const obstacle = `vm_cache_memory: ${used} of ${memoryBudgetMib} MiB are used, and a machine has ${wanted.memoryMib} MiB`;
      return { ms: LOOK_AGAIN_MS, obstacle };
    }
    const memory = availableMemoryMib();
    if (memory.available - wanted.memoryMib < memory.total * KEPT_FREE) {
      return { ms: LOOK_AGAIN_MS, obstacle: `${memory.available} MiB of memory are available` };
    }
    this.#building = true;
    try {
      await this.#build(wanted);
    } finally {
      this.#building = false;
      // The next one waits for its turn again.
      this.#shortSince = undefined;
    }
    return { ms: 0, obstacle: "" };
  }

  async #build(plan: PoolPlan): Promise<void> {
    const { clock, startKeeper, logger, manager } = this.#parts;
    const began = clock.now();
    const name = `${this.#prefix}${getpid()}-${this.#made++}`;
    const ends = socketPair();
    const lifeline = new FdStream(ends.ours);
    try {
      await startKeeper(name, ends.theirs);
      ends.theirs.close();
      const what = { operation: "make machine of the pool", object: "its keeper is silent" };
      const line = await withDeadline(clock, BUILD_DEADLINE_MS, what, receiveLine(lifeline));
      const offer = parseOffer(line?.value);
      if (line === undefined || offer === undefined) {
        for (const descriptor of line?.descriptors ?? []) descriptor.close();
        throw new KataError("hypervisor-error", {
          operation: "make machine of the pool",
          object: keeperWords(line?.value),
        });
      }
      const { memoryMib, vcpus } = plan;
      const size = { memoryMib, vcpus };
      const entry: Entry = { name, offer, size, lifeline, descriptors: line.descriptors };
      if (this.#stopped) return drop(entry);
      if (manager !== undefined) {
        const descriptors = [lifeline.fd, ...line.descriptors.map(({ fd }) => fd)];
        await keepMachineFor(manager, name, offer, size, descriptors);
        if (this.#stopped) return drop(entry);
      }
      this.#entries.push(entry);
      this.#watch(entry);
      logger.info("a machine is ready", { pid: offer.hypervisorPid, ms: Math.round(clock.now() - began) });
    } catch (error) {
      ends.theirs.close();
      lifeline.close();
      throw error;
    }
  }

  /** A machine that ends before it is given away is none. */
  #watch(entry: Entry): void {
    loop.readable(entry.lifeline.fd).then(
      () => this.#remove(entry),
      (error: unknown) => {
        // Given away: closing the descriptor ends the wait.
        if (entry.lifeline.isOpen) this.#parts.logger.debug("watch", { error: describeError(error) });
      },
    );
  }

  #remove(entry: Entry | undefined): void {
    const index = entry === undefined ? -1 : this.#entries.indexOf(entry);
    if (entry === undefined || index < 0) return;
    this.#entries.splice(index, 1);
    const { manager, logger } = this.#parts;
    if (manager !== undefined) {
      forgetMachine(manager, entry.name).catch((error: unknown) =>
        logger.warn("the service's manager is not told", { reason: describeError(error) }),
      );
    }
    drop(entry);
    this.#wake();
  }

  /** Waits for `ms`, or for less if something has changed. */
  async #pause(ms: number): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    if (this.#stopped) return;
    await Promise.race([woken, sleep(this.#parts.clock, ms)]);
  }
}

/** Closes the pool's copies. Who has none of the lifeline does not own the machine. */
function drop({ lifeline, descriptors }: Entry): void {
  lifeline.close();
  for (const descriptor of descriptors) descriptor.close();
}

function keeperWords(value: unknown): string {
  if (typeof value === "object" && value !== null && "reason" in value) return String(value.reason);
  return "its keeper has ended";
}
