/** Out-of-memory kills, told to one asker after the other; what nobody has asked for yet is kept. */
import { KataError } from "../../kata-error.ts";
import type { CancelSignal } from "../../sys/cancellation.ts";

/** Events kept for the host; a container that is killed over and over must not fill the agent's memory. */
const MAX_KEPT = 64;

interface Asker {
  readonly resolve: (containerId: string) => void;
  readonly reject: (reason: unknown) => void;
}

export class OomEvents {
  readonly #kept: string[] = [];
  readonly #askers: Asker[] = [];

  /** A process of `containerId` was killed for want of memory. */
  report(containerId: string): void {
    const asker = this.#askers.shift();
    if (asker !== undefined) asker.resolve(containerId);
    else if (this.#kept.length < MAX_KEPT) this.#kept.push(containerId);
  }

  /** The next event's container id. */
  next(signal?: CancelSignal): Promise<string> {
    const kept = this.#kept.shift();
    if (kept !== undefined) return Promise.resolve(kept);
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const asker = { resolve, reject };
      this.#askers.push(asker);
      signal?.addEventListener("abort", () => {
        const at = this.#askers.indexOf(asker);
        if (at < 0) return;
        this.#askers.splice(at, 1);
        reject(signal.reason);
      });
    });
  }

  /** No more events: who waits is told so. */
  end(): void {
    for (const asker of this.#askers.splice(0)) {
      asker.reject(
        new KataError("unavailable", {
          operation: "wait for out-of-memory event",
          object: "the sandbox ends",
        }),
      );
    }
  }
}
