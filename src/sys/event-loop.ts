/**
 * The event loop: epoll, timers and promises on one thread.
 *
 * The engine host runs promise jobs until none is left, then calls {@link EventLoop.turn}, which hands out one event; so
 * everything that an event resolves is done before the next one is looked at. The program ends when nothing is waited for.
 * Sources: epoll(7), epoll_pwait(2).
 */
import { KataError } from "../kata-error.ts";
import type { CancelSignal } from "./cancellation.ts";
import type { Clock, Timer } from "./clock.ts";
import { EINTR } from "./errno.ts";
import { check, kernel } from "./kernel.ts";

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLLIN = 0x001;
const EPOLLPRI = 0x002;
const EPOLLOUT = 0x004;
const EPOLLERR = 0x008;
const EPOLLHUP = 0x010;
const EPOLLRDHUP = 0x2000;
const CLOCK_MONOTONIC = 1;

/** Events taken from the kernel at once. */
const BATCH = 32;

/**
 * A wait under way. It lets go of everything when it is over: what refers to itself in a circle is only given back by a
 * garbage collection, and there is a wait for every event.
 */
class Waiter {
  #resolve: (() => void) | undefined;
  #reject: ((reason: unknown) => void) | undefined;
  #signal: CancelSignal | undefined;
  #onAbort: (() => void) | undefined;

  constructor(resolve: () => void, reject: (reason: unknown) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Runs `onAbort` if `signal` fires before the wait is over. */
  follow(signal: CancelSignal, onAbort: () => void): void {
    this.#signal = signal;
    this.#onAbort = onAbort;
    signal.addEventListener("abort", onAbort);
  }

  resolve(): void {
    const resolve = this.#resolve;
    this.#end();
    resolve?.();
  }

  reject(reason: unknown): void {
    const reject = this.#reject;
    this.#end();
    reject?.(reason);
  }

  #end(): void {
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#signal = undefined;
    this.#onAbort = undefined;
    this.#resolve = undefined;
    this.#reject = undefined;
  }
}

type Direction = "read" | "write" | "priority";

/** Who waits for one descriptor; one waiter for each direction. */
interface Watch {
  read: Waiter | undefined;
  write: Waiter | undefined;
  priority: Waiter | undefined;
  registered: number;
}

/** A timer of the heap. Its callback is gone once it has fired or was taken back. */
class PendingTimer implements Timer {
  readonly at: number;
  readonly order: number;
  callback: (() => void) | undefined;
  readonly #onCancel: () => void;

  constructor(at: number, order: number, callback: () => void, onCancel: () => void) {
    this.at = at;
    this.order = order;
    this.callback = callback;
    this.#onCancel = onCancel;
  }

  cancel(): void {
    if (this.callback === undefined) return;
    this.callback = undefined;
    this.#onCancel();
  }
}

export class EventLoop implements Clock {
  #epoll = -1;
  #watches = new Map<number, Watch>();
  #timers: PendingTimer[] = [];
  #timerOrder = 0;
  #waiters = 0;
  #ready: (() => void)[] = [];
  /** Of the process that this one is a clone of. */
  #left: readonly unknown[] = [];
  // x86_64 packs struct epoll_event to 12 bytes; elsewhere its 64-bit member is aligned.
  readonly #eventBytes = kernel().architecture === "x86_64" ? 12 : 16;
  readonly #eventList = new Uint8Array(16 * BATCH);
  readonly #events = new DataView(this.#eventList.buffer);
  /** struct epoll_event for epoll_ctl(2). */
  readonly #interest = new Uint32Array(4);
  readonly #timespec = new BigInt64Array(2);

  /** Milliseconds of CLOCK_MONOTONIC. */
  now(): number {
    check(kernel().syscall("clock_gettime", CLOCK_MONOTONIC, this.#timespec), "read clock", "monotonic");
    return Number(this.#timespec[0]) * 1000 + Number(this.#timespec[1]) / 1e6;
  }

  after(ms: number, callback: () => void): Timer {
    const timer = new PendingTimer(
      this.now() + Math.max(0, ms),
      this.#timerOrder++,
      callback,
      this.#onCancel,
    );
    this.#pushTimer(timer);
    return timer;
  }
  #cancelledTimers = 0;
  readonly #onCancel = (): void => {
    // The heap drops it when it comes up; only a heap of mostly cancelled timers is worth rebuilding.
    this.#cancelledTimers++;
    if (this.#cancelledTimers > 64 && this.#cancelledTimers * 2 > this.#timers.length) this.#compactTimers();
  };

  /** Resolves when `fd` can be read without waiting, is at its end or has failed. */
  readable(fd: number, signal?: CancelSignal): Promise<void> {
    return this.#wait(fd, "read", signal);
  }

  /** Resolves when `fd` can be written without waiting, or has failed. */
  writable(fd: number, signal?: CancelSignal): Promise<void> {
    return this.#wait(fd, "write", signal);
  }

  /** Resolves on exceptional conditions (EPOLLPRI): a changed cgroup or sysfs file, a pidfd never. */
  exceptional(fd: number, signal?: CancelSignal): Promise<void> {
    return this.#wait(fd, "priority", signal);
  }

  /** Forgets `fd`, which its owner is about to close; who waits for it fails with `closed`. */
  forget(fd: number): void {
    const watch = this.#watches.get(fd);
    if (watch === undefined) return;
    this.#watches.delete(fd);
    if (watch.registered !== 0) kernel().syscall("epoll_ctl", this.#epoll, EPOLL_CTL_DEL, fd, null);
    const closed = new KataError("closed", { operation: "wait for descriptor", object: `fd ${fd}` });
    for (const direction of ["read", "write", "priority"] as const) {
      const waiter = watch[direction];
      if (waiter !== undefined) {
        this.#waiters--;
        waiter.reject(closed);
      }
    }
  }

  /** Runs `callback` as an event of its own, after the promise jobs that are due. */
  soon(callback: () => void): void {
    this.#ready.push(callback);
  }

  /** Waits for the next event and runs it. @returns false if there is nothing left to wait for. */
  turn(): boolean {
    for (;;) {
      const callback = this.#ready.shift();
      if (callback !== undefined) {
        callback();
        return true;
      }
      const due = this.#nextTimer();
      if (due === undefined && this.#waiters === 0) return false;
      const wait = due === undefined ? -1 : Math.max(0, Math.ceil(due.at - this.now()));
      if (wait === 0 || this.#waiters === 0) {
        if (wait > 0) this.#poll(wait);
        else if (this.#waiters > 0) this.#poll(0);
        this.#queueDueTimers();
      } else {
        this.#poll(wait);
        if (due !== undefined) this.#queueDueTimers();
      }
    }
  }

  /**
   * What a clone of this process without exec must do first: the epoll instance is shared with the parent, so it is
   * dropped, and nothing that was waited for happens any more.
   *
   * What waited is kept: to free it would be to write to nearly every page of the parent's heap, which a clone copies for that.
   */
  abandon(): void {
    if (this.#epoll >= 0) kernel().syscall("close", this.#epoll);
    this.#epoll = -1;
    this.#left = [this.#left, this.#watches, this.#timers, this.#ready];
    this.#watches = new Map();
    this.#timers = [];
    this.#ready = [];
    this.#waiters = 0;
    this.#cancelledTimers = 0;
  }

  #wait(fd: number, direction: Direction, signal: CancelSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise<void>((resolve, reject) => {
      let watch = this.#watches.get(fd);
      if (watch === undefined) {
        watch = { read: undefined, write: undefined, priority: undefined, registered: 0 };
        this.#watches.set(fd, watch);
      }
      if (watch[direction] !== undefined) {
        reject(
          new KataError("busy", {
            operation: `wait to ${direction}`,
            object: `fd ${fd}`,
            hint: "another wait for it is under way",
          }),
        );
        return;
      }
      const waiter = new Waiter(resolve, reject);
      watch[direction] = waiter;
      this.#waiters++;
      try {
        this.#update(fd, watch);
      } catch (error) {
        watch[direction] = undefined;
        this.#waiters--;
        if (!watch.read && !watch.write && !watch.priority) this.#watches.delete(fd);
        reject(error);
        return;
      }
      if (signal !== undefined) this.#followSignal(fd, watch, direction, waiter, signal);
    });
  }

  #followSignal(fd: number, watch: Watch, direction: Direction, waiter: Waiter, signal: CancelSignal): void {
    waiter.follow(signal, () => {
      if (watch[direction] !== waiter) return;
      watch[direction] = undefined;
      this.#waiters--;
      this.#update(fd, watch);
      waiter.reject(signal.reason);
    });
  }

  /** Makes the kernel's interest in `fd` what the waiters need. */
  #update(fd: number, watch: Watch): void {
    const wanted =
      (watch.read ? EPOLLIN | EPOLLRDHUP : 0) |
      (watch.write ? EPOLLOUT : 0) |
      (watch.priority ? EPOLLPRI : 0);
    if (wanted === watch.registered) return;
    if (this.#epoll < 0) {
      this.#epoll = check(kernel().syscall("epoll_create1", EPOLL_CLOEXEC), "create event loop", "epoll");
    }
    const operation = wanted === 0 ? EPOLL_CTL_DEL : watch.registered === 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    const words = this.#interest;
    words[0] = wanted;
    words[(this.#eventBytes - 8) / 4] = fd;
    check(kernel().syscall("epoll_ctl", this.#epoll, operation, fd, words), "watch", fd);
    watch.registered = wanted;
    if (wanted === 0) this.#watches.delete(fd);
  }

  #poll(timeout: number): void {
    if (this.#epoll < 0) {
      this.#epoll = check(kernel().syscall("epoll_create1", EPOLL_CLOEXEC), "create event loop", "epoll");
    }
    const count = kernel().syscall("epoll_pwait", this.#epoll, this.#eventList, BATCH, timeout, null, 8);
    if (count === -EINTR) return;
    check(count, "wait for events", "epoll");
    for (let i = 0; i < count; i++) {
      const at = i * this.#eventBytes;
      const events = this.#events.getUint32(at, true);
      const fd = this.#events.getUint32(at + this.#eventBytes - 8, true);
      this.#ready.push(() => this.#deliver(fd, events));
    }
  }

  #deliver(fd: number, events: number): void {
    const watch = this.#watches.get(fd);
    if (watch === undefined) return;
    const failed = (events & (EPOLLERR | EPOLLHUP)) !== 0;
    const due: Waiter[] = [];
    const take = (direction: Direction, mask: number) => {
      const waiter = watch[direction];
      if (waiter === undefined || !(failed || events & mask)) return;
      watch[direction] = undefined;
      due.push(waiter);
    };
    take("read", EPOLLIN | EPOLLRDHUP);
    take("write", EPOLLOUT);
    take("priority", EPOLLPRI);
    this.#waiters -= due.length;
    this.#update(fd, watch);
    for (const waiter of due) waiter.resolve();
  }

  // A binary heap by time, then by order of creation.
  #pushTimer(timer: PendingTimer): void {
    const heap = this.#timers;
    heap.push(timer);
    let index = heap.length - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(timer, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = timer;
  }

  #popTimer(): PendingTimer | undefined {
    const heap = this.#timers;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      const left = heap[child];
      const right = heap[child + 1];
      let smaller = left;
      if (left !== undefined && right !== undefined && isBefore(right, left)) {
        child++;
        smaller = right;
      }
      if (smaller === undefined || !isBefore(smaller, last)) break;
      heap[index] = smaller;
      index = child;
    }
    heap[index] = last;
    return top;
  }

  #nextTimer(): PendingTimer | undefined {
    for (;;) {
      const top = this.#timers[0];
      if (top === undefined || top.callback !== undefined) return top;
      this.#popTimer();
      this.#cancelledTimers--;
    }
  }

  #queueDueTimers(): void {
    const now = this.now();
    for (;;) {
      const top = this.#nextTimer();
      if (top === undefined || top.at > now) return;
      this.#popTimer();
      this.#ready.push(() => {
        const callback = top.callback;
        top.callback = undefined;
        callback?.();
      });
    }
  }

  #compactTimers(): void {
    const live = this.#timers.filter((timer) => timer.callback !== undefined);
    this.#timers.length = 0;
    this.#cancelledTimers = 0;
    for (const timer of live) this.#pushTimer(timer);
  }
}

function isBefore(a: PendingTimer, b: PendingTimer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** The program's loop. */
export const loop: EventLoop = new EventLoop();
