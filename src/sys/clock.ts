/** Time as something that can be handed in, so that tests use a fake one. */
import { KataError } from "../kata-error.ts";

/** A pending {@link Clock.after}. */
export interface Timer {
  /** Takes the timer back; no effect once it has fired. */
  cancel(): void;
}

export interface Clock {
  /** Milliseconds on a clock that only goes forward, with fractions. */
  now(): number;
  /** Runs `callback` once, `ms` from now or later. */
  after(ms: number, callback: () => void): Timer;
}

/** Resolves after `ms`. */
export function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(ms, resolve);
  });
}

/** Resolves when `work` has settled, one way or the other, or after `ms`: what comes first. No timer is left behind. */
export function settledWithin(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, resolve);
    const settled = (): void => {
      timer.cancel();
      resolve();
    };
    work.then(settled, settled);
  });
}

/**
 * Settles as `work` does if it does so within `ms`.
 *
 * @throws KataError `deadline-exceeded` after `ms`; `work` itself goes on, its later failure is not reported.
 */
export function withDeadline<T>(
  clock: Clock,
  ms: number,
  what: { readonly operation: string; readonly object: string; readonly hint?: string },
  work: Promise<T>,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = clock.after(ms, () => {
      const hint = what.hint ?? `no answer within ${ms} ms`;
      reject(new KataError("deadline-exceeded", { ...what, hint }));
    });
    work.then(resolve, reject).finally(() => timer.cancel());
  });
}
