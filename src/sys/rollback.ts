/** Undoing what was acquired, in reverse order, also when the release of another fails. */
import { describeError, KataError } from "../kata-error.ts";

import { traceWork } from "./trace.ts";

interface Step {
  readonly what: string;
  readonly undo: () => void | Promise<void>;
}

export class Rollback {
  readonly #steps: Step[] = [];

  /** @param what a noun phrase for messages: "cgroup of container x". */
  add(what: string, undo: () => void | Promise<void>): void {
    this.#steps.push({ what, undo });
  }

  /** Takes over what `other` would undo, to be undone before what is here; `other` is empty afterwards. */
  adopt(other: Rollback): void {
    this.#steps.push(...other.#steps.splice(0));
  }

  /** Forgets all steps: what was acquired is somebody else's from now on. */
  keep(): void {
    this.#steps.length = 0;
  }

  /**
   * Runs all steps, the last one first; each once.
   *
   * @throws KataError `cleanup-failed` after the last step, naming every step that failed.
   */
  async run(): Promise<void> {
    const failures: string[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        const undoing = traceWork(`give back ${step.what}`);
        await step.undo();
        undoing();
      } catch (error) {
        failures.push(`${step.what}: ${describeError(error)}`);
      }
    }
    if (failures.length > 0) {
      throw new KataError("cleanup-failed", { operation: "give back", object: failures.join("; ") });
    }
  }
}
