/**
 * CPUs that come to and go from a running QEMU.
 *
 * The guest learns of both by ACPI and tells what it made of it (`_OST`). A CPU that came has to be set online in the guest.
 * QEMU's emulation cannot take a CPU out: its thread stays, and plugging one in again ends QEMU (seen with 7.2). There they stay.
 * Sources: QMP reference, query-hotpluggable-cpus, ACPI_DEVICE_OST, DEVICE_DELETED; ACPI specification 6.5, section 6.3.5 (_OST).
 */
import { KataError } from "../../../kata-error.ts";
import { awaitGuest, EJECTING, INSERTING } from "./acpi-notice.ts";
import type { QmpClient } from "./qmp-client.ts";
import { asRecords, isRecord } from "./qmp-messages.ts";

/** A guest has to stop what runs on a CPU; under emulation and load that takes seconds. */
const UNPLUG_DEADLINE_MS = 10_000;
const PLUG_DEADLINE_MS = 10_000;
/** Most CPUs that QEMU's boards have; a longer list is not read. */
const MAX_SLOTS = 4096;

interface Slot {
  readonly driver: string;
  readonly properties: Readonly<Record<string, number>>;
}

export class HotPlugCpus {
  readonly #monitor: QmpClient;
  readonly #bootCount: number;
  readonly #unplugs: boolean;
  /** Those that were plugged in, the newest last. */
  readonly #plugged: string[] = [];
  #named = 0;

  /** @param unplugs whether this QEMU can take one out. */
  constructor(monitor: QmpClient, bootCount: number, unplugs: boolean) {
    this.#monitor = monitor;
    this.#bootCount = bootCount;
    this.#unplugs = unplugs;
  }

  get count(): number {
    return this.#bootCount + this.#plugged.length;
  }

  /**
   * Plugs in CPUs until there are `count`.
   *
   * @throws KataError `resource-exhausted` if the board has no place for them, `hypervisor-error` if the guest refuses one. Those
   * that were plugged in for this call are taken out then, where that is possible.
   */
  async growTo(count: number): Promise<void> {
    const before = this.count;
    if (count <= before) return;
    const free = freeSlots(await this.#monitor.execute("query-hotpluggable-cpus", {}));
    if (free.length < count - before) {
      throw new KataError("resource-exhausted", {
        operation: "plug in CPUs",
        object: `${count} wanted, ${before} there, room for ${free.length} more`,
        hint: "raise default_maxvcpus in configuration.toml",
      });
    }
    try {
      for (const slot of free.slice(0, count - before)) await this.#plug(slot);
    } catch (error) {
      // What the guest keeps of them is told by `count`.
      await this.shrinkTo(before).catch(() => undefined);
      throw error;
    }
  }

  async #plug({ driver, properties }: Slot): Promise<void> {
    const id = `cpu-${++this.#named}`;
    await awaitGuest(this.#monitor, id, INSERTING, PLUG_DEADLINE_MS, async () => {
      await this.#monitor.execute("device_add", { ...properties, driver, id });
      this.#plugged.push(id);
    });
  }

  /** Takes out the newest CPUs, as far as the guest lets go of them, to no less than `count`. */
  async shrinkTo(count: number): Promise<void> {
    while (this.#unplugs && this.count > count) {
      const id = this.#plugged.at(-1);
      if (id === undefined) return;
      await awaitGuest(this.#monitor, id, EJECTING, UNPLUG_DEADLINE_MS, () =>
        this.#monitor.execute("device_del", { id }),
      );
      this.#plugged.pop();
    }
  }
}

/** The places without a CPU, in the order in which the guest numbers them. @param answer of `query-hotpluggable-cpus`. */
export function freeSlots(answer: unknown): Slot[] {
  const slots: Slot[] = [];
  for (const entry of asRecords(answer).slice(0, MAX_SLOTS)) {
    if (entry["qom-path"] !== undefined || typeof entry.type !== "string" || !isRecord(entry.props)) continue;
    const numbers = Object.entries(entry.props).filter(
      (pair): pair is [string, number] => typeof pair[1] === "number",
    );
    slots.push({ driver: entry.type, properties: Object.fromEntries(numbers) });
  }
  return slots.sort((a, b) => placeOf(a) - placeOf(b));
}

/** Sockets have dies, dies have cores, cores have threads; none more than {@link MAX_SLOTS} of the next. */
function placeOf({ properties }: Slot): number {
  return ["socket-id", "die-id", "core-id", "thread-id"].reduce(
    (place, name) => place * MAX_SLOTS + (properties[name] ?? 0),
    0,
  );
}
