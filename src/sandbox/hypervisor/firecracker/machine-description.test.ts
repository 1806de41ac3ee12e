import { describe, expect, test } from "vitest";
import { faults } from "../../../../tests/stand-ins/firecracker/schema.ts";
import type { NetworkDevice } from "../network-device.ts";
import type { MachineSpec } from "../types.ts";
import { bootArguments, describeMachine, type MonitorPaths } from "./machine-description.ts";

const CARD: NetworkDevice = {
  kind: "network",
  id: "network0",
  macAddress: "02:00:00:00:00:01",
  backend: { kind: "tap", queues: [], name: "tap0_kata" },
};

const SPEC: MachineSpec = {
  id: "s",
  program: "/usr/bin/firecracker",
  accelerator: "kvm",
  machineType: "",
  machineOptions: "",
  cpuFeatures: "",
  firmware: "",
  kernel: "/guest/vmlinux",
  root: { kind: "initrd", path: "/guest/initrd" },
  kernelParameters: "agent.x=1",
  debug: false,
  vcpus: 2,
  maxVcpus: 2,
  memoryMib: 256,
  hugePages: false,
  preallocateMemory: false,
  reclaimMemory: false,
  hotPlugSlots: 0,
  entropySource: "/dev/urandom",
  devices: [CARD],
  networkNamespace: undefined,
  runDirectory: "/run/kata/s",
  cgroups: [],
  rates: {
    disk: { bandwidth: 8_000_000, bandwidthBurst: 800, operations: 100, operationsBurst: 0 },
    network: { received: 80_000, sent: 0 },
  },
};

/** Tells what was given, as a jail does. */
function paths(): MonitorPaths & { readonly given: string[] } {
  const given: string[] = [];
  return {
    given,
    give: (name, path, access) => {
      given.push(`${name} ${access} ${path}`);
      return `/${name}`;
    },
    monitor: (name) => `/${name}`,
  };
}

describe("describeMachine()", () => {
  test("tells all of a machine, in the API's words", () => {
    const files = paths();
    const { drives, slots, ...rest } = describeMachine(SPEC, files);
    expect(rest).toEqual({
      machine: { vcpu_count: 2, mem_size_mib: 256, smt: false },
      boot: { kernel_image_path: "/vmlinux", initrd_path: "/initrd" },
      cards: [
        {
          iface_id: "network0",
          guest_mac: "02:00:00:00:00:01",
          host_dev_name: "tap0_kata",
          rx_rate_limiter: { bandwidth: { size: 10_000, refill_time: 1000 } },
        },
      ],
      vsock: { guest_cid: 3, uds_path: "/kata.hvsock" },
      entropy: true,
    });
    expect(files.given).toEqual(["vmlinux read /guest/vmlinux", "initrd read /guest/initrd"]);
    expect(drives[0]).toEqual({
      drive_id: "slot0",
      path_on_host: "/slot0",
      is_root_device: false,
      is_read_only: false,
      cache_type: "Writeback",
      rate_limiter: {
        bandwidth: { size: 1_000_000, one_time_burst: 100, refill_time: 1000 },
        ops: { size: 100, refill_time: 1000 },
      },
    });
    expect(drives.map(({ drive_id }) => drive_id)).toEqual(slots.map(({ id }) => id));
    expect(slots.map(({ node, readOnly }) => `${node} ${readOnly}`)).toEqual([
      ...["a", "b", "c", "d", "e", "f", "g", "h"].map((letter) => `/dev/vd${letter} false`),
      ...["i", "j", "k", "l"].map((letter) => `/dev/vd${letter} true`),
    ]);
  });

  test("puts the guest's image and disks that are there at the boot before the slots", () => {
    const root = { kind: "image", path: "/i", filesystem: "ext4" } as const;
    const disk = { kind: "disk", id: "initdata", path: "/d", readOnly: true } as const;
    const files = paths();
    const { drives, slots } = describeMachine({ ...SPEC, root, devices: [disk] }, files);
    expect(drives.slice(0, 3).map(({ drive_id, is_read_only }) => [drive_id, is_read_only])).toEqual([
      ["rootfs", true],
      ["disk1", true],
      ["slot0", false],
    ]);
    expect(slots[0]?.node).toBe("/dev/vdc");
    expect(files.given).toContain("rootfs read /i");
    expect(files.given).toContain("disk1 read /d");
  });

  test.each<[what: string, changes: Partial<MachineSpec>]>([
    ["a machine from a RAM disk", {}],
    [
      "one from an image, in huge pages",
      { root: { kind: "image", path: "/i", filesystem: "erofs" }, hugePages: true },
    ],
  ])("for %s keeps to the published schema", (_what, changes) => {
    const spec = { ...SPEC, ...changes };
    const described = describeMachine(spec, paths());
    expect([
      ...faults(described.machine, "MachineConfiguration"),
      ...faults({ ...described.boot, boot_args: bootArguments(spec, "1.12.1") }, "BootSource"),
      ...described.drives.flatMap((drive) => faults(drive, "Drive")),
      ...described.cards.flatMap((card) => faults(card, "NetworkInterface")),
      ...faults(described.vsock, "Vsock"),
    ]).toEqual([]);
  });

  test("passes over the guest's wish to have data on the disk if it is told to", () => {
    const diskTuning = {
      io: "threads",
      direct: false,
      noFlush: true,
      logicalSectorBytes: 0,
      physicalSectorBytes: 0,
      queues: 1,
      queueSize: 128,
      threads: 0,
    } as const;
    const { drives } = describeMachine({ ...SPEC, diskTuning }, paths());
    expect(drives[0]?.cache_type).toBe("Unsafe");
  });

  test.each<[what: string, changes: Partial<MachineSpec>, words: RegExp]>([
    [
      "a shared directory",
      {
        devices: [
          {
            kind: "shared-directory",
            id: "s",
            tag: "t",
            socket: { kind: "listening", path: "/s" },
            queueSize: 2,
          },
        ],
      },
      /set shared_fs = "none"/,
    ],
    ["a firmware", { firmware: "/f" }, /leave firmware empty/],
    ["more CPUs than it has", { vcpus: 33 }, /at most 32/],
    [
      "a card that is a descriptor",
      { devices: [{ ...CARD, backend: { kind: "tap", queues: [{ tap: 5 }] } }] },
      /taps in the pod's network namespace/,
    ],
    [
      "more cards than there is room for",
      { devices: Array.from({ length: 16 }, (_, index) => ({ ...CARD, id: `network${index}` })) },
      /fewer network links/,
    ],
  ])("refuses %s", (_what, changes, words) => {
    expect(() => describeMachine({ ...SPEC, ...changes }, paths())).toThrowError(words);
  });
});

describe("bootArguments()", () => {
  test.each([
    ["1.12.1", false],
    ["1.8.0", false],
    ["v1.7.9", true],
    ["0.25.2", true],
    ["2.0.0", false],
  ])("for version %s switch ACPI off: %s", (version, off) => {
    const words = bootArguments(SPEC, version).split(" ");
    expect(words.includes("acpi=off")).toBe(off);
    expect(words).toEqual(
      expect.arrayContaining(["pci=off", "console=ttyS0", "nr_cpus=2", "reboot=k", "panic=1"]),
    );
    expect(words.at(-1)).toBe("agent.x=1");
  });
});
