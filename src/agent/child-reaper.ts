/**
 * The exit statuses of all children: those that the agent started, and orphans that came to it.
 *
 * As process 1 every orphan of the machine becomes the agent's child, so there is one place that takes ended children
 * from the kernel; who started a child asks here how it ended.
 */
import { KataError } from "../kata-error.ts";
import { listenForSignals, type ProcessExit, reapAny, SIGCHLD } from "../sys/process.ts";

/** Statuses of children that nobody has asked for yet; orphans fill it, so it is bounded. */
const MAX_UNCLAIMED = 128;

export class ChildReaper implements Disposable {
  readonly #waiting = new Map<number, (exit: ProcessExit) => void>();
  readonly #unclaimed = new Map<number, ProcessExit>();
  readonly #listener: Disposable;
  readonly #reap: () => ProcessExit | "no-child" | undefined;

  /** @param reap and `listen` are the kernel's; tests hand in their own. */
  constructor(
    reap: () => ProcessExit | "no-child" | undefined = reapAny,
    listen: (onSignal: () => void) => Disposable = (onSignal) => listenForSignals([SIGCHLD], onSignal),
  ) {
    this.#reap = reap;
    // Signals are merged, so each one stands for any number of children.
    this.#listener = listen(() => this.reap());
  }

  /**
   * How child `pid` ends; asked once, before the loop's next turn or soon after the child was started.
   *
   * @returns 0–255; 128 + signal if a signal ended it.
   */
  exitOf(pid: number): Promise<number> {
    const ended = this.#unclaimed.get(pid);
    if (ended !== undefined) {
      this.#unclaimed.delete(pid);
      return Promise.resolve(ended.status);
    }
    if (this.#waiting.has(pid)) {
      throw new KataError("internal", {
        operation: "wait for process",
        object: `${pid} is waited for already`,
      });
    }
    return new Promise((resolve) => {
      this.#waiting.set(pid, (exit) => resolve(exit.status));
    });
  }

  /** Takes all children that have ended. */
  reap(): void {
    for (;;) {
      const exit = this.#reap();
      if (exit === undefined || exit === "no-child") return;
      const waiting = this.#waiting.get(exit.pid);
      if (waiting !== undefined) {
        this.#waiting.delete(exit.pid);
        waiting(exit);
        continue;
      }
      this.#unclaimed.delete(exit.pid);
      this.#unclaimed.set(exit.pid, exit);
      const oldest = this.#unclaimed.keys().next();
      if (this.#unclaimed.size > MAX_UNCLAIMED && !oldest.done) this.#unclaimed.delete(oldest.value);
    }
  }

  [Symbol.dispose](): void {
    this.#listener[Symbol.dispose]();
  }
}
