/**
 * Keeps a machine as large as its containers need: it grows before one comes, and shrinks after one has gone.
 *
 * ```
 * reserve(id, resources) ─▶ grow, set online ─▶ the caller makes the container ─┬─▶ settle()    shrink to what is needed
 *                                                                              └─▶ take back    as it was before
 * ```
 *
 * Changes of the size happen one after the other; containers may be made meanwhile. A machine that keeps its size ignores all of it.
 */
import { describeError } from "../../kata-error.ts";
import type { LinuxResources } from "../../oci/types.ts";
import type { MachineCapabilities } from "../hypervisor/types.ts";
import type { Logger } from "../types.ts";
import {
  grownSize,
  type HostSize,
  larger,
  type MachineSize,
  resourceLimits,
  type SizeDefaults,
  updatedLimits,
  within,
} from "./sizing.ts";

/** What of a machine is needed to resize it. */
export interface ResizableMachine {
  readonly size: MachineSize;
  readonly capabilities: Pick<MachineCapabilities, "resize">;
  resize(target: MachineSize, memoryBlockMib: number): Promise<MachineSize>;
}

/** What the guest has to do about it. */
export interface GuestResources {
  /** Piece in which it takes memory, MiB; 0 if it cannot take any. */
  memoryBlockMib(): Promise<number>;
  /** Sets what came online, and waits until there are `vcpus`. */
  setOnline(vcpus: number): Promise<void>;
}

export interface MachineSizingParts {
  readonly machine: ResizableMachine;
  readonly guest: GuestResources;
  readonly defaults: SizeDefaults;
  readonly host: HostSize;
  readonly boot: MachineSize;
  readonly most: MachineSize;
  readonly logger: Logger;
  /** Follows what the machine and its containers have. */
  readonly placement?: {
    refresh(): Promise<void>;
    follow(id: string, resources: LinuxResources): Promise<void>;
    forget(id: string): Promise<void>;
  };
}

/** A change of a container's limits for which the machine is large enough. */
export interface Reservation {
  /** The change has been made. */
  settle(): void;
  /** The change has failed: the limits are the former ones again. */
  takeBack(): Promise<void>;
}

/** Piece in which Linux on x86 takes memory if it does not say, MiB. */
const USUAL_BLOCK_MIB = 128;

export class MachineSizing {
  readonly #parts: MachineSizingParts;
  /** The limits that hold for each container or are about to: the machine has room for any of them. */
  readonly #containers = new Map<string, readonly LinuxResources[]>();
  #turn: Promise<unknown> = Promise.resolve();
  #blockMib: number | undefined;

  constructor(parts: MachineSizingParts) {
    this.#parts = parts;
  }

  /** Whether anything can change. */
  get #isStatic(): boolean {
    const { defaults, machine } = this.#parts;
    const { vcpus, memory } = machine.capabilities.resize;
    return defaults.isStatic || (vcpus === "fixed" && memory === "fixed");
  }

  /**
   * Makes the machine large enough for a container with these limits, or for those that an update changes.
   *
   * @throws KataError if the machine cannot grow; everything is as before then.
   */
  async reserve(id: string, resources: LinuxResources): Promise<Reservation> {
    const before = this.#containers.get(id) ?? [];
    const wanted = updatedLimits(before.at(-1) ?? {}, resources);
    this.#containers.set(id, [...before, wanted]);
    const restore = () => {
      const left = (this.#containers.get(id) ?? []).filter((each) => each !== wanted);
      if (left.length === 0) this.#containers.delete(id);
      else this.#containers.set(id, left);
    };
    try {
      await this.#inTurn(() => this.#grow());
    } catch (error) {
      restore();
      throw error;
    }
    return {
      settle: () => {
        if (this.#containers.has(id)) this.#containers.set(id, [wanted]);
        this.#shrinkLater();
      },
      takeBack: async () => {
        restore();
        await this.#inTurn(() => this.#shrink());
      },
    };
  }

  /**
   * Does `work`, which makes a container with these limits or changes one's, in a machine that is large enough for it.
   *
   * @throws KataError what {@link reserve} or `work` fails with; the machine is as before then.
   */
  async withRoomFor<T>(id: string, resources: LinuxResources, work: () => Promise<T>): Promise<T> {
    const reservation = await this.reserve(id, resources);
    try {
      const result = await work();
      reservation.settle();
      await this.#parts.placement?.follow(id, this.#containers.get(id)?.at(-1) ?? {});
      return result;
    } catch (error) {
      // That the machine stays too large must not hide why.
      await reservation.takeBack().catch((failure: unknown) => this.#warn(failure));
      throw error;
    }
  }

  /** The container has gone. The machine shrinks in the background: a guest that lets go of nothing holds nobody up. */
  release(id: string): void {
    if (!this.#containers.delete(id)) return;
    void this.#parts.placement?.forget(id);
    this.#shrinkLater();
  }

  /** Settles when no change is under way. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** What the containers that are there need, at most what the machine can have and at least what it booted with. */
  #needed(): MachineSize {
    const { defaults, host, boot, most, logger } = this.#parts;
    const limits = [...this.#containers.values()].map((each) => each.map(resourceLimits).reduce(larger));
    const wanted = grownSize(defaults, host, limits);
    const needed = within(wanted, most);
    if (wanted.vcpus > needed.vcpus || wanted.memoryMib > needed.memoryMib) {
      logger.warn("the machine is smaller than its containers' limits", {
        vcpus: `${needed.vcpus} of ${wanted.vcpus}`,
        memory_mib: `${needed.memoryMib} of ${wanted.memoryMib}`,
      });
    }
    return {
      vcpus: Math.max(needed.vcpus, boot.vcpus),
      memoryMib: Math.max(needed.memoryMib, boot.memoryMib),
    };
  }

  async #grow(): Promise<void> {
    if (this.#isStatic) return;
    const { machine, guest } = this.#parts;
    const needed = this.#needed();
    const before = machine.size;
    const target = {
      vcpus: Math.max(needed.vcpus, before.vcpus),
      memoryMib: Math.max(needed.memoryMib, before.memoryMib),
    };
    if (target.vcpus === before.vcpus && target.memoryMib === before.memoryMib) return;
    const size = await this.#resize(target);
    try {
      await guest.setOnline(size.vcpus);
    } catch (error) {
      await this.#resize(before);
      throw error;
    }
  }

  #shrinkLater(): void {
    if (this.#isStatic) return;
    this.#inTurn(() => this.#shrink()).catch((error: unknown) => this.#warn(error));
  }

  #warn(error: unknown): void {
    this.#parts.logger.warn("the machine keeps its size", { error: describeError(error) });
  }

  async #shrink(): Promise<void> {
    if (this.#isStatic) return;
    const needed = this.#needed();
    const { machine } = this.#parts;
    const target = within(needed, machine.size);
    if (target.vcpus === machine.size.vcpus && target.memoryMib === machine.size.memoryMib) return;
    await this.#resize(target);
  }

  async #resize(target: MachineSize): Promise<MachineSize> {
    const { machine, guest, logger, placement } = this.#parts;
    this.#blockMib ??= (await guest.memoryBlockMib()) || USUAL_BLOCK_MIB;
    const before = machine.size;
    const size = await machine.resize(target, this.#blockMib);
    if (size.vcpus !== before.vcpus || size.memoryMib !== before.memoryMib) {
      logger.info("the machine has another size", { vcpus: size.vcpus, memory_mib: size.memoryMib });
      await placement?.refresh();
    }
    return size;
  }
}
