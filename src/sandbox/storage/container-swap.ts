/**
 * Swap space for the containers of a pod that ask for it: together the guest has as much as all of them want at the same time.
 *
 * A guest that uses a disk for swapping does not give it back: what a container leaves is there for the next.
 */

import type { SwapRequest } from "./guest-swap.ts";
import type { SandboxDisks } from "./sandbox-disks.ts";

export interface ContainerSwapParts {
  readonly sandboxId: string;
  readonly directory: string;
  readonly disks: Pick<SandboxDisks, "attach">;
  readonly calls: SwapRequest["calls"];
}

/** The page that says what a disk is, and what it has to have beside it. Source: mkswap(8). */
const PAGE_BYTES = 4096;
const LEAST_PAGES = 10;

export class ContainerSwap {
  readonly #parts: ContainerSwapParts;
  #wanted = 0;
  #given = 0;
  #disks = 0;
  /** One after the other: each counts what those before it have brought. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: ContainerSwapParts) {
    this.#parts = parts;
  }

  /** @returns what gives it up. Once. @throws KataError if the guest gets no more; nothing is counted then. */
  async give(bytes: number): Promise<() => void> {
    const giving = this.#turn.then(() => this.#give(bytes));
    this.#turn = giving.catch(() => undefined);
    await giving;
    return () => {
      this.#wanted -= bytes;
    };
  }

  async #give(bytes: number): Promise<void> {
    const missing = this.#wanted + bytes - this.#given;
    if (missing > 0) {
      const { sandboxId, ...parts } = this.#parts;
      const pages = Math.max(Math.ceil(missing / PAGE_BYTES), LEAST_PAGES);
      const { giveSwap } = await import("./guest-swap.ts");
      const size = (pages + 1) * PAGE_BYTES;
      const name = `${sandboxId}-${this.#disks++}`;
      // Its annotations are the pod's own: what they ask for is there at least when they do.
      await giveSwap({ ...parts, name, bytes: size, mustFit: true });
      this.#given += pages * PAGE_BYTES;
    }
    this.#wanted += bytes;
  }
}
