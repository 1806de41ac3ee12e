/** Cancelling what waits; an `AbortSignal` of Node or a browser fits {@link CancelSignal} as it is. */
import { KataError } from "../kata-error.ts";

export interface CancelSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** Owns a {@link CancelSignal} and fires it once. */
export class CancelSource {
  readonly signal: CancelSignal;
  readonly #state: { aborted: boolean; reason: unknown };
  readonly #listeners = new Set<() => void>();

  /** @param parent a signal whose firing fires this one too. */
  constructor(parent?: CancelSignal) {
    const state = { aborted: false, reason: undefined as unknown };
    const listeners = this.#listeners;
    this.#state = state;
    this.signal = {
      get aborted() {
        return state.aborted;
      },
      get reason() {
        return state.reason;
      },
      addEventListener(_type, listener) {
        listeners.add(listener);
      },
      removeEventListener(_type, listener) {
        listeners.delete(listener);
      },
    };
    if (parent?.aborted) this.cancel(parent.reason);
    else parent?.addEventListener("abort", () => this.cancel(parent.reason));
  }

  /** Fires the signal with `reason`; later calls change nothing. */
  cancel(
    reason: unknown = new KataError("cancelled", { operation: "wait", object: "the caller gave up" }),
  ): void {
    if (this.#state.aborted) return;
    this.#state.aborted = true;
    this.#state.reason = reason;
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener();
  }
}

/** @throws the signal's reason, if it has fired. */
export function throwIfCancelled(signal: CancelSignal | undefined): void {
  if (signal?.aborted) throw signal.reason;
}

/** Settles as `work` does, or rejects with the signal's reason when that fires first. `work` itself goes on. */
export function orCancelled<T>(work: Promise<T>, signal: CancelSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) {
      work.catch(() => undefined);
      reject(signal.reason);
      return;
    }
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
