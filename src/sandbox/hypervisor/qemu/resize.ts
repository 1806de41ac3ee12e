/** Making a running QEMU larger and smaller: memory before CPUs, which need some, and the other way round. */
import type { Clock } from "../../../sys/clock.ts";
import type { MachineSize } from "../../resources/sizing.ts";
import type { MachineCapabilities, MachineSpec } from "../types.ts";
import { FixedMemory, type GrowingMemory } from "./growing-memory.ts";
import { HotPlugCpus } from "./hot-plug-cpus.ts";
import { MemoryModules } from "./memory-modules.ts";
import type { QmpClient } from "./qmp-client.ts";
import { VirtioMemory } from "./virtio-memory.ts";

export class Resize {
  readonly #cpus: HotPlugCpus;
  readonly #memory: GrowingMemory;

  constructor(spec: MachineSpec, monitor: QmpClient, clock: Clock) {
    this.#cpus = new HotPlugCpus(monitor, spec.vcpus, unplugsCpus(spec));
    this.#memory = growingMemory(spec, monitor, clock);
  }

  get size(): MachineSize {
    return { vcpus: this.#cpus.count, memoryMib: this.#memory.sizeMib };
  }

  async resize(target: MachineSize, memoryBlockMib: number): Promise<MachineSize> {
    const before = this.size;
    if (target.memoryMib > before.memoryMib) await this.#memory.growTo(target.memoryMib, memoryBlockMib);
    if (target.vcpus > before.vcpus) {
      try {
        await this.#cpus.growTo(target.vcpus);
      } catch (error) {
        await this.#memory.shrinkTo(before.memoryMib);
        throw error;
      }
    }
    if (target.vcpus < before.vcpus) await this.#cpus.shrinkTo(target.vcpus);
    if (target.memoryMib < before.memoryMib) await this.#memory.shrinkTo(target.memoryMib);
    return this.size;
  }
}

/** What can become of this machine's size. */
export function resizing(spec: MachineSpec): MachineCapabilities["resize"] {
  return {
    vcpus: spec.maxVcpus <= spec.vcpus ? "fixed" : unplugsCpus(spec) ? "grows and shrinks" : "grows",
    memory: spec.memoryGrowth === undefined ? "fixed" : "grows and shrinks",
  };
}

/** See {@link HotPlugCpus}. */
function unplugsCpus({ accelerator }: MachineSpec): boolean {
  return accelerator !== "tcg";
}

function growingMemory(spec: MachineSpec, monitor: QmpClient, clock: Clock): GrowingMemory {
  const { memoryGrowth, memoryMib, hugePages, preallocateMemory, reclaimMemory } = spec;
  switch (memoryGrowth?.kind) {
    case undefined:
      return new FixedMemory(memoryMib);
    case "virtio-mem":
      return new VirtioMemory(monitor, clock, memoryMib, memoryGrowth.maxMemoryMib);
    case "modules":
      return new MemoryModules({
        monitor,
        bootMib: memoryMib,
        slots: memoryGrowth.slots,
        maxMemoryMib: memoryGrowth.maxMemoryMib,
        hugePages,
        preallocate: preallocateMemory,
        balloon: reclaimMemory,
      });
  }
}
