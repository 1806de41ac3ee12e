/** How a machine that may grow is started, and what its guest has to do then. */
import type { AgentClient, CallOptions } from "../agent-client.ts";
import type { MemoryGrowth } from "../hypervisor/types.ts";
import type { GuestResources } from "./machine-sizing.ts";
import type { SizeRange } from "./sizing.ts";

/** What the configuration says of memory that comes later. */
export interface GrowthSettings {
  /** Modules that can be plugged in. */
  readonly slots: number;
  readonly virtioMem: boolean;
}

/** Guests on x86 take memory in pieces of this size, MiB: less is not worth the address space. */
const LEAST_GROWTH_MIB = 128;
/** Linux on x86 takes memory in pieces of up to 2 GiB; a guest that says more is not believed. */
const MOST_BLOCK_MIB = 2048;
/** Setting CPUs online takes an emulated guest a second for some. */
const ONLINE: CallOptions = { timeoutMs: 20_000 };

/** Undefined for a machine that keeps its memory. */
export function memoryGrowth(
  { slots, virtioMem }: GrowthSettings,
  { boot, most }: SizeRange,
): MemoryGrowth | undefined {
  const room = Math.floor((most.memoryMib - boot.memoryMib) / LEAST_GROWTH_MIB) * LEAST_GROWTH_MIB;
  const maxMemoryMib = boot.memoryMib + room;
  if (room === 0) return undefined;
  if (virtioMem) return { kind: "virtio-mem", maxMemoryMib };
  return slots === 0 ? undefined : { kind: "modules", slots, maxMemoryMib };
}

/** The guest's part, done by its agent. */
export function guestResources(calls: Pick<AgentClient, "getGuestDetails" | "onlineCPUMem">): GuestResources {
  return {
    async memoryBlockMib() {
      const request = { memBlockSize: true, memHotplugProbe: false };
      const { memBlockSizeBytes } = await calls.getGuestDetails(request, ONLINE);
      return Math.min(Number(memBlockSizeBytes >> 20n), MOST_BLOCK_MIB);
    },
    async setOnline(nbCpus) {
      await calls.onlineCPUMem({ wait: true, nbCpus, cpuOnly: false }, ONLINE);
    },
  };
}
