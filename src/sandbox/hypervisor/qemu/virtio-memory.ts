/**
 * Memory that a virtio-mem device gives to and takes from the guest, in pieces of some megabytes.
 *
 * The host asks for a size, the guest comes as near to it as it can and may go on trying for ever.
 * Source: QEMU documentation, virtio-mem; virtio specification 1.2, section 5.15; Linux, drivers/virtio/virtio_mem.c.
 */
import { KataError } from "../../../kata-error.ts";
import { type Clock, sleep } from "../../../sys/clock.ts";
import { VIRTIO_MEMORY } from "./command-line.ts";
import type { GrowingMemory } from "./growing-memory.ts";
import type { QmpClient } from "./qmp-client.ts";

const DEVICE = `/machine/peripheral/${VIRTIO_MEMORY}`;
/** Linux on x86 plugs and unplugs 4 MiB at once, whatever the device could. */
const PIECE_MIB = 4;
/** A guest that has not come nearer for this long is not waited for, ms. */
const NO_PROGRESS_MS = 5000;
const INTERVAL_MS = 10;
const MIB = 1 << 20;

export class VirtioMemory implements GrowingMemory {
  readonly #monitor: QmpClient;
  readonly #clock: Clock;
  readonly #bootMib: number;
  readonly #mostMib: number;
  #extraMib = 0;

  constructor(monitor: QmpClient, clock: Clock, bootMib: number, maxMemoryMib: number) {
    this.#monitor = monitor;
    this.#clock = clock;
    this.#bootMib = bootMib;
    this.#mostMib = maxMemoryMib;
  }

  get sizeMib(): number {
    return this.#bootMib + this.#extraMib;
  }

  async growTo(targetMib: number): Promise<void> {
    if (targetMib > this.#mostMib) {
      throw new KataError("resource-exhausted", {
        operation: "plug in memory",
        object: `${targetMib} MiB`,
        hint: "raise default_maxmemory in configuration.toml",
      });
    }
    const before = this.#extraMib;
    const wanted = Math.min(roundUp(targetMib - this.#bootMib), this.#mostMib - this.#bootMib);
    await this.#request(wanted);
    if (this.#extraMib >= wanted) return;
    const came = this.#extraMib;
    await this.#request(before);
    throw new KataError("hypervisor-error", {
      operation: "plug in memory",
      object: `the guest took ${came - before} of ${wanted - before} MiB`,
      hint: "its kernel needs virtio_mem and memory for the new pages' table",
    });
  }

  async shrinkTo(targetMib: number): Promise<void> {
    await this.#request(roundUp(Math.max(0, targetMib - this.#bootMib)));
  }

  /** Asks for `extraMib` and waits until the guest is there, or comes no nearer. */
  async #request(extraMib: number): Promise<void> {
    await this.#monitor.execute("qom-set", {
      path: DEVICE,
      property: "requested-size",
      value: extraMib * MIB,
    });
    let changed = this.#clock.now();
    for (;;) {
      const size = Number(await this.#monitor.execute("qom-get", { path: DEVICE, property: "size" })) / MIB;
      if (size !== this.#extraMib) changed = this.#clock.now();
      this.#extraMib = size;
      if (size === extraMib || this.#clock.now() - changed > NO_PROGRESS_MS) return;
      await sleep(this.#clock, INTERVAL_MS);
    }
  }
}

function roundUp(mib: number): number {
  return Math.ceil(mib / PIECE_MIB) * PIECE_MIB;
}
