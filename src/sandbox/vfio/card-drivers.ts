/**
 * Which drivers of the host cards were taken from, so that they have them again.
 *
 * A card is noted for a clean-up after a crash before its driver loses it. It can be given back only when no machine has it.
 */
import { describeError } from "../../kata-error.ts";
import type { NetworkRecord, NetworkStep } from "../network/network-steps.ts";
import { bindToVfio, driverOfCard, giveBackDriver } from "../network/vfio-binding.ts";
import type { Logger } from "../types.ts";

type DriverStep = Extract<NetworkStep, { kind: "driver" }>;

export class CardDrivers {
  readonly #record: NetworkRecord;
  readonly #logger: Logger;
  readonly #sysfs: string | undefined;
  readonly #taken = new Map<string, DriverStep>();

  /** @param sysfs another tree, for tests. */
  constructor(record: NetworkRecord, logger: Logger, sysfs?: string) {
    this.#record = record;
    this.#logger = logger;
    this.#sysfs = sysfs;
  }

  /** Binds a card to vfio-pci, unless one of the kind has it: device plug-ins and operators do that ahead. @throws KataError. */
  take(pciAddress: string): void {
    const driver = driverOfCard(pciAddress, this.#sysfs);
    // Cards of some makers have a driver of their own for this, such as mlx5_vfio_pci.
    if (/vfio[-_]pci$/.test(driver)) return;
    const step: DriverStep = { kind: "driver", pciAddress, driver };
    this.#record.add(step);
    this.#taken.set(pciAddress, step);
    bindToVfio(pciAddress, this.#sysfs);
  }

  /** No error for a card that was bound before. @throws KataError if its driver does not take it; it is tried again at the end. */
  giveBack(pciAddress: string): void {
    const step = this.#taken.get(pciAddress);
    if (step === undefined) return;
    giveBackDriver(pciAddress, step.driver, this.#sysfs);
    this.#taken.delete(pciAddress);
    this.#record.remove(step);
  }

  /** All that is left, when the machine has ended. */
  giveBackAll(): void {
    for (const pciAddress of [...this.#taken.keys()]) {
      try {
        this.giveBack(pciAddress);
      } catch (error) {
        this.#logger.error("a card of the host has no driver any more", {
          card: pciAddress,
          error: describeError(error),
        });
      }
    }
  }
}
