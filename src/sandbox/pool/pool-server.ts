/**
 * The pool: keeps machines ready and gives them away, first come, first served.
 *
 * It makes one machine at a time, at low priority, and only once nobody has asked for one for a moment: those who start pods come
 * first. If nothing is ready the answer is no, at once, and the pod's machine is cloned. Whatever happens to the pool, machines that were
 * given away live on, and machines that were not end with it.
 */
import { describeError, hasErrno, KataError } from "../../kata-error.ts";
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
  readDirectory,
  removeTree,
  statIfExists,
  unlinkIfExists,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { getpid } from "../../sys/process.ts";
import { accept, listen, peerCredentials, socketPair } from "../../sys/socket.ts";
import { templateName } from "../template/template-name.ts";
import type { Logger } from "../types.ts";
import { availableMemoryMib } from "./available-memory.ts";
import {
  type MachineOffer,
  type PoolRequest,
  type PoolStatus,
  parseOffer,
  parseRequest,
  receiveLine,
  sendLine,
} from "./pool-protocol.ts";

/** What the pool is to have; asked anew before each machine, since files and configuration change. */
export interface PoolPlan {
  readonly machines: number;
  readonly key: string;
  readonly memoryMib: number;
  readonly vcpus: number;
}

export interface PoolParts {
  readonly endpoint: string;
  /** A socket that is open already (systemd's); otherwise the endpoint is made. */
  readonly socket: FileDescriptor | undefined;
  readonly plan: () => PoolPlan;
  /** Starts a keeper with the other end of its lifeline, for a machine of that name. */
  readonly startKeeper: (name: string, lifeline: FileDescriptor) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Entry {
  readonly offer: MachineOffer;
  readonly plan: PoolPlan;
  readonly lifeline: FdStream;
  readonly descriptors: readonly FileDescriptor[];
}

/** A claim is one short line. */
const REQUEST_DEADLINE_MS = 2000;
/** After the last claim, ms. */
const QUIET_MS = 1500;
/** A machine is not made unless this share of the host's memory stays available beside it. */
const KEPT_FREE = 0.1;
const BUILD_DEADLINE_MS = 180_000;
/** After a failure, ms; doubled with each, to at most the second. */
const FIRST_RETRY_MS = 2000;
const LAST_RETRY_MS = 300_000;
/** Without reason to look again sooner, ms: files of the configuration change without telling. */
const LOOK_AGAIN_MS = 10_000;

const SHARES = "/run/kata-containers/shared/sandboxes";
const RUNS = "/run/kata";

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
  #stopped = false;
  #wake: () => void = () => undefined;

  constructor(parts: PoolParts) {
    this.#parts = parts;
    this.#prefix = `pool-${templateName(parts.endpoint)}-`;
  }

  /** Serves until {@link stop}. @throws KataError `already-exists` if another pool serves at the endpoint. */
  async serve(): Promise<void> {
    this.#listen();
    this.#removeRemains();
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
    let obstacle = this.#obstacle;
    try {
      wanted = this.#parts.plan().machines;
    } catch (error) {
      obstacle = describeError(error);
    }
    return {
      kind: "status",
      pid: getpid(),
      wanted,
      ready: this.#entries.map(({ offer, plan }) => ({
        pid: offer.hypervisorPid,
        memoryMib: plan.memoryMib,
        vcpus: plan.vcpus,
      })),
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

  /** What keepers of an earlier pool have left that were killed. */
  #removeRemains(): void {
    for (const parent of [SHARES, RUNS]) {
      if (statIfExists(parent) === undefined) continue;
      for (const { name } of readDirectory(parent)) {
        if (name.startsWith(this.#prefix) && !isKept(name)) removeTree(`${parent}/${name}`);
      }
    }
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
    for (const entry of this.#entries.filter(({ offer }) => offer.key !== wanted.key)) this.#remove(entry);
    while (this.#entries.length > wanted.machines) this.#remove(this.#entries[0]);
    if (this.#entries.length === wanted.machines) return { ms: LOOK_AGAIN_MS, obstacle: "" };
    const quietIn = this.#lastClaim + QUIET_MS - clock.now();
    if (quietIn > 0) return { ms: quietIn, obstacle: "" };
    const memory = availableMemoryMib();
    if (memory.available - wanted.memoryMib < memory.total * KEPT_FREE) {
      return { ms: LOOK_AGAIN_MS, obstacle: `${memory.available} MiB of memory are available` };
    }
    this.#building = true;
    try {
      await this.#build(wanted);
    } finally {
      this.#building = false;
    }
    return { ms: 0, obstacle: "" };
  }

  async #build(plan: PoolPlan): Promise<void> {
    const { clock, startKeeper, logger } = this.#parts;
    const began = clock.now();
    const ends = socketPair();
    const lifeline = new FdStream(ends.ours);
    try {
      await startKeeper(`${this.#prefix}${getpid()}-${this.#made++}`, ends.theirs);
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
      const entry: Entry = { offer, plan, lifeline, descriptors: line.descriptors };
      if (this.#stopped) return drop(entry);
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

/** Whether the keeper of that name, or the shim that has its machine, may still be there: its process is. */
function isKept(name: string): boolean {
  try {
    return readDirectory("/proc").some(
      ({ name: pid }) => /^\d+$/.test(pid) && commandLine(pid).includes(name),
    );
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
}

function commandLine(pid: string): string {
  try {
    using file = open(`/proc/${pid}/cmdline`, 0);
    const bytes = new Uint8Array(4096);
    const count = kernel().syscall("read", file.fd, bytes, bytes.length);
    return String.fromCharCode(...bytes.subarray(0, Math.max(count, 0)));
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return "";
    throw error;
  }
}
