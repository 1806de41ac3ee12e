import { describe, expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import type { LinuxResources } from "../../oci/types.ts";
import type { Logger } from "../types.ts";
import { MachineSizing, type ResizableMachine } from "./machine-sizing.ts";
import type { MachineSize, SizeDefaults } from "./sizing.ts";

const MIB = 1 << 20;
const HOST = { cpus: 8, memoryMib: 16_384 };
const DEFAULTS: SizeDefaults = {
  vcpus: 1,
  maxVcpus: 0,
  memoryMib: 256,
  maxMemoryMib: 0,
  isStatic: false,
  overheadVcpus: 0,
  overheadMemoryMib: 0,
  workloadVcpus: 0,
  workloadMemoryMib: 0,
  workloadMinimumMib: 0,
};

const limits = (cpus: number, memoryMib: number): LinuxResources => ({
  cpu: { quota: cpus * 100_000, period: 100_000 },
  memory: { limit: memoryMib * MIB },
});

/** A machine that has any size. */
class FakeMachine implements ResizableMachine {
  readonly capabilities = { resize: { vcpus: "grows and shrinks", memory: "grows and shrinks" } } as const;
  readonly asked: string[] = [];
  size: MachineSize;
  refuses = false;

  constructor(size: MachineSize) {
    this.size = size;
  }

  async resize(target: MachineSize, memoryBlockMib: number): Promise<MachineSize> {
    if (this.refuses) throw new KataError("resource-exhausted", { operation: "resize", object: "it" });
    this.asked.push(`${target.vcpus} CPUs, ${target.memoryMib} MiB by ${memoryBlockMib}`);
    await new Promise((resolve) => setImmediate(resolve));
    this.size = target;
    return target;
  }
}

function bench(changes: Partial<SizeDefaults> = {}, most: MachineSize = { vcpus: 4, memoryMib: 2048 }) {
  const boot = { vcpus: 1, memoryMib: 256 };
  const machine = new FakeMachine(boot);
  const warnings: string[] = [];
  const online: number[] = [];
  const ignore = () => undefined;
  const logger: Logger = {
    debug: ignore,
    info: ignore,
    warn: (text) => void warnings.push(text),
    error: ignore,
  };
  const guest = {
    refuses: false,
    memoryBlockMib: async () => 128,
    async setOnline(vcpus: number) {
      if (guest.refuses)
        throw new KataError("deadline-exceeded", { operation: "set online", object: "CPUs" });
      online.push(vcpus);
    },
  };
  const defaults = { ...DEFAULTS, ...changes };
  const sizing = new MachineSizing({ machine, guest, defaults, host: HOST, boot, most, logger });
  return { machine, sizing, guest, warnings, online };
}

describe("MachineSizing", () => {
  test("grows before each container and shrinks after it has gone", async () => {
    const { machine, sizing, online } = bench();
    (await sizing.reserve("a", limits(0.5, 100))).settle();
    (await sizing.reserve("b", limits(0.5, 200))).settle();
    await sizing.settled();
    sizing.release("a");
    sizing.release("a");
    await sizing.settled();
    expect(machine.asked).toEqual([
      "2 CPUs, 356 MiB by 128",
      "2 CPUs, 556 MiB by 128",
      "2 CPUs, 456 MiB by 128",
    ]);
    expect(online).toEqual([2, 2]);
  });

  test("follows an update up before it is made, and down after it", async () => {
    const { machine, sizing } = bench();
    (await sizing.reserve("a", limits(1, 512))).settle();
    const smaller = await sizing.reserve("a", { memory: { limit: 128 * MIB } });
    expect(machine.size).toEqual({ vcpus: 2, memoryMib: 768 });
    smaller.settle();
    await sizing.settled();
    expect(machine.size).toEqual({ vcpus: 2, memoryMib: 384 });
  });

  test("is as before when what the size was for fails", async () => {
    const { machine, sizing } = bench();
    (await sizing.reserve("a", limits(1, 128))).settle();
    const before = machine.size;
    await (await sizing.reserve("b", limits(1, 128))).takeBack();
    expect(machine.size).toEqual(before);
    await (await sizing.reserve("a", limits(2, 512))).takeBack();
    expect(machine.size).toEqual(before);
    (await sizing.reserve("c", {})).settle();
    await sizing.settled();
    expect(machine.size).toEqual(before);
  });

  test("forgets a container that it could not grow for", async () => {
    const { machine, sizing, guest } = bench();
    machine.refuses = true;
    await expect(sizing.reserve("a", limits(1, 512))).rejects.toThrow("resize: it");
    machine.refuses = false;
    guest.refuses = true;
    await expect(sizing.reserve("a", limits(1, 512))).rejects.toThrow("set online: CPUs");
    expect(machine.size).toEqual({ vcpus: 1, memoryMib: 256 });
    guest.refuses = false;
    (await sizing.reserve("b", limits(1, 128))).settle();
    expect(machine.size).toEqual({ vcpus: 2, memoryMib: 384 });
  });

  test("does one change after the other, and forgets none", async () => {
    const { machine, sizing } = bench();
    await Promise.all(["a", "b", "c"].map((id) => sizing.reserve(id, limits(0, 100))));
    expect(machine.size.memoryMib).toBe(556);
    expect(machine.asked.length).toBeLessThanOrEqual(3);
  });

  test("warns of limits beyond the machine's most, and gives that", async () => {
    const { machine, sizing, warnings } = bench();
    await sizing.reserve("a", limits(16, 4096));
    expect(machine.size).toEqual({ vcpus: 4, memoryMib: 2048 });
    expect(warnings).toEqual(["the machine is smaller than its containers' limits"]);
  });

  test("leaves a static machine alone", async () => {
    const { machine, sizing } = bench({ isStatic: true });
    (await sizing.reserve("a", limits(2, 512))).settle();
    sizing.release("a");
    await sizing.settled();
    expect(machine.asked).toEqual([]);
  });
});
