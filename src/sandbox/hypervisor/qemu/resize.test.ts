/** Growing and shrinking with a QEMU and a guest that do what a test says. */
import { describe, expect, test } from "vitest";
import { FakeClock } from "../../../sys/testing/fake-clock.ts";
import { type QemuReply, ScriptedQemu } from "../../testing/scripted-qemu.ts";
import type { MachineSpec } from "../types.ts";
import { freeSlots } from "./hot-plug-cpus.ts";
import { Resize, resizing } from "./resize.ts";
import { vcpuThreads } from "./vcpu-threads.ts";

const SPEC: MachineSpec = {
  id: "pod1",
  program: "/usr/bin/qemu-system-x86_64",
  accelerator: "kvm",
  machineType: "q35",
  machineOptions: "",
  cpuFeatures: "",
  firmware: "",
  kernel: "/k",
  root: { kind: "initrd", path: "/i" },
  kernelParameters: "",
  debug: false,
  vcpus: 1,
  maxVcpus: 4,
  memoryMib: 256,
  memoryGrowth: { kind: "modules", slots: 3, maxMemoryMib: 4096 },
  hugePages: false,
  preallocateMemory: false,
  reclaimMemory: false,
  hotPlugSlots: 0,
  entropySource: "",
  devices: [],
  networkNamespace: undefined,
  runDirectory: "/run/kata/pod1",
  cgroups: [],
};

const MIB = 1 << 20;
const BLOCK_MIB = 128;
const cpuSlot = (core: number, taken = false) => ({
  type: "host-x86_64-cpu",
  "vcpus-count": 1,
  props: { "socket-id": 0, "core-id": core, "thread-id": 0 },
  ...(taken ? { "qom-path": `/machine/${core}` } : {}),
});
const CPUS = [cpuSlot(3), cpuSlot(2), cpuSlot(1), cpuSlot(0, true)];
const ost = (device: unknown, source: number, status: number) =>
  ["ACPI_DEVICE_OST", { info: { device, source, status, slot: "0", "slot-type": "CPU" } }] as const;

/** A guest that takes and gives everything, but for the devices that `refuses` names with an _OST status. */
function willing(refuses: Readonly<Record<string, number>> = {}) {
  return (command: string, { id }: Readonly<Record<string, unknown>>): QemuReply => {
    const refusal = refuses[`${command} ${id}`];
    switch (command) {
      case "query-hotpluggable-cpus":
        return { value: CPUS };
      case "device_add":
        return { events: [ost(id, 1, refusal ?? 0)] };
      case "device_del":
        return {
          events: [
            ost(id, 3, 0x84),
            refusal === undefined ? ["DEVICE_DELETED", { device: id }] : ost(id, 3, refusal),
          ],
        };
      default:
        return {};
    }
  };
}

async function machine(
  script: (command: string, args: Readonly<Record<string, unknown>>) => QemuReply,
  spec = SPEC,
) {
  const qemu = new ScriptedQemu(script);
  const clock = new FakeClock();
  return { qemu, clock, resize: new Resize(spec, await qemu.connect(clock), clock) };
}

describe("Resize", () => {
  test("brings memory before CPUs and takes CPUs before memory", async () => {
    const { qemu, resize } = await machine(willing());
    expect(await resize.resize({ vcpus: 3, memoryMib: 600 }, BLOCK_MIB)).toEqual({
      vcpus: 3,
      memoryMib: 640,
    });
    expect(await resize.resize({ vcpus: 1, memoryMib: 256 }, BLOCK_MIB)).toEqual({
      vcpus: 1,
      memoryMib: 256,
    });
    expect(qemu.told).toEqual([
      "object-add dimm-1-memory",
      "device_add dimm-1",
      "query-hotpluggable-cpus",
      "device_add cpu-1",
      "device_add cpu-2",
      "device_del cpu-2",
      "device_del cpu-1",
      "device_del dimm-1",
      "object-del dimm-1-memory",
    ]);
  });

  test("takes back what came when a later step is refused", async () => {
    const { qemu, resize } = await machine(willing({ "device_add cpu-2": 1 }));
    await expect(resize.resize({ vcpus: 3, memoryMib: 384 }, BLOCK_MIB)).rejects.toMatchObject({
      code: "hypervisor-error",
      message: "plug in cpu-2: the guest says: it failed",
    });
    expect(resize.size).toEqual({ vcpus: 1, memoryMib: 256 });
    expect(qemu.told.slice(-4)).toEqual([
      "device_del cpu-2",
      "device_del cpu-1",
      "device_del dimm-1",
      "object-del dimm-1-memory",
    ]);
  });

  test("keeps the module that the guest does not let go of", async () => {
    const { resize } = await machine(willing({ "device_del dimm-1": 0x81 }));
    await resize.resize({ vcpus: 1, memoryMib: 384 }, BLOCK_MIB);
    expect(await resize.resize({ vcpus: 1, memoryMib: 256 }, BLOCK_MIB)).toEqual({
      vcpus: 1,
      memoryMib: 384,
    });
    expect(await resize.resize({ vcpus: 1, memoryMib: 384 }, BLOCK_MIB)).toEqual({
      vcpus: 1,
      memoryMib: 384,
    });
  });

  test("lends what stays to the balloon, and takes it from there first", async () => {
    const spec = { ...SPEC, reclaimMemory: true };
    const { qemu, resize } = await machine(willing({ "device_del dimm-1": 0x81 }), spec);
    await resize.resize({ vcpus: 1, memoryMib: 512 }, BLOCK_MIB);
    expect(await resize.resize({ vcpus: 1, memoryMib: 300 }, BLOCK_MIB)).toEqual({
      vcpus: 1,
      memoryMib: 300,
    });
    expect(await resize.resize({ vcpus: 1, memoryMib: 400 }, BLOCK_MIB)).toEqual({
      vcpus: 1,
      memoryMib: 400,
    });
    expect(qemu.told.slice(2)).toEqual([`balloon ${300 * MIB}`, `balloon ${400 * MIB}`]);
  });

  test("adds no more at once than the guest's memory has room to describe", async () => {
    const spec: MachineSpec = {
      ...SPEC,
      memoryMib: 64,
      memoryGrowth: { kind: "modules", slots: 3, maxMemoryMib: 65_536 },
    };
    const sizes: unknown[] = [];
    const { resize } = await machine((command, args) => {
      if (command === "object-add") sizes.push(Number(args.size) / MIB);
      return willing()(command, args);
    }, spec);
    await resize.resize({ vcpus: 1, memoryMib: 8256 }, BLOCK_MIB);
    expect(sizes).toEqual([64 * 48, 8192 - 64 * 48]);
  });

  test.each([
    ["slots", 1, 4096, /memory_slots/],
    ["address space", 3, 512, /default_maxmemory/],
  ])("refuses what there is no %s for, and is as before", async (_what, slots, maxMemoryMib, hint) => {
    const { resize } = await machine(willing(), {
      ...SPEC,
      memoryGrowth: { kind: "modules", slots, maxMemoryMib },
    });
    await resize.resize({ vcpus: 1, memoryMib: 384 }, BLOCK_MIB);
    await expect(resize.resize({ vcpus: 1, memoryMib: 1024 }, BLOCK_MIB)).rejects.toMatchObject({
      code: "resource-exhausted",
      message: expect.stringMatching(hint),
    });
    expect(resize.size).toEqual({ vcpus: 1, memoryMib: 384 });
  });

  test("gives up on a guest that says nothing", async () => {
    const { resize, clock } = await machine((command) =>
      command === "query-hotpluggable-cpus" ? { value: CPUS } : {},
    );
    const growing = resize.resize({ vcpus: 2, memoryMib: 256 }, BLOCK_MIB);
    growing.catch(() => undefined);
    for (let turn = 0; turn < 10; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(10_000);
    }
    await expect(growing).rejects.toMatchObject({ code: "deadline-exceeded" });
  });

  test("keeps an emulated CPU: QEMU cannot take one out", async () => {
    const spec: MachineSpec = { ...SPEC, accelerator: "tcg" };
    expect(resizing(spec)).toEqual({ vcpus: "grows", memory: "grows and shrinks" });
    const { qemu, resize } = await machine(willing(), spec);
    await resize.resize({ vcpus: 2, memoryMib: 256 }, BLOCK_MIB);
    expect(await resize.resize({ vcpus: 1, memoryMib: 256 }, BLOCK_MIB)).toEqual({
      vcpus: 2,
      memoryMib: 256,
    });
    expect(qemu.told).toEqual(["query-hotpluggable-cpus", "device_add cpu-1"]);
  });
});

describe("virtio-mem", () => {
  const spec: MachineSpec = { ...SPEC, memoryGrowth: { kind: "virtio-mem", maxMemoryMib: 1024 } };

  /** A guest that goes to the size that is asked for, as far as `least` and `most` MiB let it. */
  function following(least: number, most: number) {
    let size = 0;
    return (command: string, { value }: Readonly<Record<string, unknown>>): QemuReply => {
      if (command === "qom-set") size = Math.max(least * MIB, Math.min(Number(value), most * MIB));
      return { value: size };
    };
  }

  test("goes up and down in pieces of 4 MiB", async () => {
    const { qemu, resize } = await machine(following(0, 768), spec);
    expect((await resize.resize({ vcpus: 1, memoryMib: 357 }, BLOCK_MIB)).memoryMib).toBe(256 + 104);
    expect((await resize.resize({ vcpus: 1, memoryMib: 300 }, BLOCK_MIB)).memoryMib).toBe(300);
    expect(qemu.told).toEqual([`qom-set ${104 * MIB}`, "qom-get", `qom-set ${44 * MIB}`, "qom-get"]);
  });

  test("takes back what came when the guest takes less, and keeps what it does not give", async () => {
    const { qemu, resize, clock } = await machine(following(0, 64), spec);
    const growing = resize.resize({ vcpus: 1, memoryMib: 512 }, BLOCK_MIB);
    growing.catch(() => undefined);
    for (let turn = 0; turn < 2000; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(10);
    }
    await expect(growing).rejects.toThrow("plug in memory: the guest took 64 of 256 MiB");
    expect(resize.size.memoryMib).toBe(256);
    expect(qemu.told.at(-2)).toBe("qom-set 0");
  });
});

test("vcpuThreads() are in the order of the CPUs", () => {
  const answer = [
    { "cpu-index": 1, "thread-id": 72 },
    { "cpu-index": 0, "thread-id": 71 },
    { "thread-id": "?" },
  ];
  expect(vcpuThreads(answer)).toEqual([71, 72]);
});

test("freeSlots() are those without a CPU, in the guest's order", () => {
  const slots = freeSlots([...CPUS, "?", { type: "x" }, { props: {} }]);
  expect(slots.map(({ properties }) => properties["core-id"])).toEqual([1, 2, 3]);
  expect(slots[0]?.driver).toBe("host-x86_64-cpu");
});

test("a machine that was not started to grow says so", () => {
  expect(resizing({ ...SPEC, maxVcpus: 1, memoryGrowth: undefined })).toEqual({
    vcpus: "fixed",
    memory: "fixed",
  });
});
