/**
 * Keeps the network of a running guest what its pod's network namespace has: for network plug-ins that come late (Docker, since
 * version 26, configures the namespace after the container was created) or change something on a live pod.
 */
import { describeError, hasCode } from "../../kata-error.ts";
import { type Clock, sleep } from "../../sys/clock.ts";
import type { Logger } from "../types.ts";
import type { LiveGuest, PodNetwork } from "./pod-network.ts";

/** A plug-in makes its changes in quick succession: they are carried over together. ms. */
const GATHER_MS = 20;

export interface LiveNetworkParts {
  readonly network: PodNetwork;
  readonly guest: LiveGuest;
  /** Whether the machine takes and gives cards while it runs. */
  readonly canPlug: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class LiveNetwork {
  readonly #parts: LiveNetworkParts;
  /** Ends when what was begun so far has been carried over. Never rejects. */
  #settling: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(parts: LiveNetworkParts) {
    this.#parts = parts;
    void this.#watch();
  }

  async #watch(): Promise<void> {
    const { network, clock, logger } = this.#parts;
    try {
      while (!this.#ended) {
        await network.changed();
        await sleep(clock, GATHER_MS);
        await this.settled();
      }
    } catch (error) {
      if (this.#ended || hasCode(error, "closed")) return;
      logger.error("the pod's network is not followed any more", { error: describeError(error) });
    }
  }

  /**
   * Resolves when the guest has all that has changed in the namespace before the call. What could not be carried over is in the
   * log: a pod without one of its links is of more use than none.
   */
  settled(): Promise<void> {
    this.#settling = this.#settling.then(() => this.#settle());
    return this.#settling;
  }

  async #settle(): Promise<void> {
    const { network, guest, canPlug, logger } = this.#parts;
    try {
      if (this.#ended || !network.takeChanges()) return;
      const failures = await network.settle(guest, canPlug);
      if (this.#ended) return;
      for (const failure of failures) logger.warn("the guest's network differs from the pod's", { failure });
    } catch (error) {
      if (!this.#ended) logger.warn("carry the network over to the guest", { error: describeError(error) });
    }
  }

  /** Follows no more; what is under way is given up with the guest. Any number of calls. */
  end(): void {
    this.#ended = true;
  }
}
