/** What joining one link has changed: every change is recorded for a crash, and undone with the last one first. */
import { Rollback } from "../../sys/rollback.ts";
import type { NetworkNamespace } from "./network-namespace.ts";
import { type NetworkRecord, type NetworkStep, undoNetworkStep } from "./network-steps.ts";

export class NetworkChanges {
  readonly namespace: NetworkNamespace;
  readonly #record: NetworkRecord;
  readonly #rollback = new Rollback();

  constructor(namespace: NetworkNamespace, record: NetworkRecord) {
    this.namespace = namespace;
    this.#record = record;
  }

  /** Makes a change that is made as a whole or not at all. */
  async make(step: NetworkStep, change: () => void | Promise<void>): Promise<void> {
    this.#record.add(step);
    try {
      await change();
    } catch (error) {
      // Whatever is in its place is somebody else's.
      this.#record.remove(step);
      throw error;
    }
    this.#undoLater(step);
  }

  /** Notes a change of several parts that comes next. */
  begin(step: NetworkStep): void {
    this.#record.add(step);
    this.#undoLater(step);
  }

  #undoLater(step: NetworkStep): void {
    this.#rollback.add(`${step.kind} of the network`, () => {
      undoNetworkStep(this.namespace.netlink, step);
      this.#record.remove(step);
    });
  }

  /** Something of this process that ends by itself with it. */
  owns(what: string, release: () => void): void {
    this.#rollback.add(what, release);
  }

  /** Undoes everything. @throws KataError `cleanup-failed` that names what could not be undone. */
  undo(): Promise<void> {
    return this.#rollback.run();
  }
}
