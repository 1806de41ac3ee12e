/**
 * Memory that comes to and goes from a running QEMU in modules, each with a backend of its own.
 *
 * A module goes only as a whole, and only if the guest has nothing in it that cannot be moved. What stays can be lent back by
 * the balloon, if the machine has one.
 * Sources: QEMU documentation, docs/memory-hotplug.txt; QMP reference, object-add, device_add, balloon.
 */
import { KataError } from "../../../kata-error.ts";
import { awaitGuest, EJECTING, INSERTING } from "./acpi-notice.ts";
import type { GrowingMemory } from "./growing-memory.ts";
import type { QmpClient } from "./qmp-client.ts";

/** Making its table of pages takes the guest a second for some gigabytes where it is emulated. */
const PLUG_DEADLINE_MS = 20_000;
/** Moving away what is in a module. */
const UNPLUG_DEADLINE_MS = 20_000;
/** A guest may have to keep the table of new pages, 64 bytes for 4 KiB, in the memory that it has. Source: upstream's bound. */
const MAX_STEP_FACTOR = 48;
const MIB = 1 << 20;

export interface MemoryModulesParts {
  readonly monitor: QmpClient;
  readonly bootMib: number;
  readonly slots: number;
  readonly maxMemoryMib: number;
  readonly hugePages: boolean;
  readonly preallocate: boolean;
  /** Whether the machine has a balloon. */
  readonly balloon: boolean;
}

interface Module {
  readonly id: string;
  readonly sizeMib: number;
}

export class MemoryModules implements GrowingMemory {
  readonly #parts: MemoryModulesParts;
  /** The newest last. */
  readonly #modules: Module[] = [];
  #named = 0;
  /** What the balloon has taken, MiB. */
  #lentMib = 0;

  constructor(parts: MemoryModulesParts) {
    this.#parts = parts;
  }

  get sizeMib(): number {
    return this.#pluggedMib - this.#lentMib;
  }

  get #pluggedMib(): number {
    return this.#modules.reduce((sum, { sizeMib }) => sum + sizeMib, this.#parts.bootMib);
  }

  async growTo(targetMib: number, blockMib: number): Promise<void> {
    const before = { count: this.#modules.length, lentMib: this.#lentMib };
    try {
      await this.#lend(Math.max(0, this.#pluggedMib - targetMib));
      while (this.#pluggedMib < targetMib) {
        const missing = Math.ceil((targetMib - this.#pluggedMib) / blockMib) * blockMib;
        const step = Math.max(
          blockMib,
          Math.floor((this.#pluggedMib * MAX_STEP_FACTOR) / blockMib) * blockMib,
        );
        await this.#plug(Math.min(missing, step));
      }
    } catch (error) {
      while (this.#modules.length > before.count && (await this.#unplugNewest()));
      await this.#lend(Math.min(before.lentMib, this.#pluggedMib - this.#parts.bootMib));
      throw error;
    }
  }

  async #plug(sizeMib: number): Promise<void> {
    const { monitor, slots, maxMemoryMib, hugePages, preallocate } = this.#parts;
    const refused = (hint: string) =>
      new KataError("resource-exhausted", {
        operation: "plug in memory",
        object: `${sizeMib} MiB beside ${this.#pluggedMib} MiB`,
        hint,
      });
    if (this.#modules.length >= slots) throw refused("raise memory_slots in configuration.toml");
    if (this.#pluggedMib + sizeMib > maxMemoryMib)
      throw refused("raise default_maxmemory in configuration.toml");
    const id = `dimm-${++this.#named}`;
    const memdev = `${id}-memory`;
    await monitor.execute("object-add", {
      "qom-type": "memory-backend-memfd",
      id: memdev,
      size: sizeMib * MIB,
      share: true,
      ...(hugePages ? { hugetlb: true } : {}),
      ...(hugePages || preallocate ? { prealloc: true } : {}),
    });
    try {
      await awaitGuest(monitor, id, INSERTING, PLUG_DEADLINE_MS, async () => {
        await monitor.execute("device_add", { driver: "pc-dimm", id, memdev });
        this.#modules.push({ id, sizeMib });
      });
    } catch (error) {
      // A module that QEMU has taken is the caller's to unplug.
      if (this.#modules.at(-1)?.id !== id) await monitor.execute("object-del", { id: memdev });
      throw error;
    }
  }

  async shrinkTo(targetMib: number): Promise<void> {
    for (let last = this.#modules.at(-1); last !== undefined; last = this.#modules.at(-1)) {
      if (this.#pluggedMib - last.sizeMib < targetMib || !(await this.#unplugNewest())) break;
    }
    await this.#lend(Math.max(0, this.#pluggedMib - targetMib));
  }

  /** @returns false if the guest does not let go of it. */
  async #unplugNewest(): Promise<boolean> {
    const { monitor } = this.#parts;
    const last = this.#modules.at(-1);
    if (last === undefined) return false;
    try {
      await awaitGuest(monitor, last.id, EJECTING, UNPLUG_DEADLINE_MS, () =>
        monitor.execute("device_del", { id: last.id }),
      );
    } catch (error) {
      if (error instanceof KataError && error.code !== "unavailable") return false;
      throw error;
    }
    this.#modules.pop();
    await monitor.execute("object-del", { id: `${last.id}-memory` });
    return true;
  }

  /** Lets the balloon take `mib` of what is plugged in; none where there is no balloon. */
  async #lend(mib: number): Promise<void> {
    if (!this.#parts.balloon || mib === this.#lentMib) return;
    await this.#parts.monitor.execute("balloon", { value: (this.#pluggedMib - mib) * MIB });
    this.#lentMib = mib;
  }
}
