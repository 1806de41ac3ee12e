import { describe, expect, test } from "vitest";
import { faults } from "../../../../tests/stand-ins/cloud-hypervisor/schema.ts";
import { type MachineOptions, NO_OPTIONS } from "../machine-options.ts";
import type { MachineSpec } from "../types.ts";
import { pciPath } from "./api-client.ts";
import { diskConfig, hostCardConfig, networkRequest, programArguments, vmConfig } from "./vm-config.ts";

const SPEC: MachineSpec = {
  id: "s",
  program: "/usr/bin/cloud-hypervisor",
  accelerator: "mshv",
  machineType: "",
  machineOptions: "",
  cpuFeatures: "",
  firmware: "",
  kernel: "/guest/vmlinux",
  root: { kind: "initrd", path: "/guest/initrd" },
  kernelParameters: "agent.x=1",
  debug: false,
  vcpus: 2,
  maxVcpus: 4,
  memoryMib: 256,
  hugePages: false,
  preallocateMemory: false,
  reclaimMemory: false,
  hotPlugSlots: 0,
  entropySource: "/dev/urandom",
  devices: [
    {
      kind: "shared-directory",
      id: "share0",
      tag: "kataShared",
      socket: { kind: "listening", path: "/run/fs.sock" },
      queueSize: 512,
    },
    { kind: "disk", id: "disk0", path: "/d", readOnly: true },
    {
      kind: "network",
      id: "network0",
      macAddress: "02:00:00:00:00:01",
      backend: { kind: "tap", queues: [{ tap: 9 }] },
    },
  ],
  networkNamespace: undefined,
  runDirectory: "/run/kata/s",
  cgroups: [],
};

const USER = { uid: 2_147_000_000, gid: 2_147_000_000, groups: [], directory: "/run/user/2147000000" };

describe("vmConfig()", () => {
  test("gives a confidential guest its file, what stands for its initdata, and a console", () => {
    const confidential = {
      kind: "sev-snp",
      encryptionBit: 51,
      policy: 0,
      idBlock: "",
      idAuthentication: "",
      hostData: Buffer.alloc(32, 0xab).toString("base64"),
      igvm: "/guest.igvm",
    } as const;
    expect(vmConfig({ ...SPEC, confidential }, "/s")).toMatchObject({
      payload: { igvm: "/guest.igvm", host_data: "ab".repeat(32) },
      platform: { num_pci_segments: 2, sev_snp: true },
      serial: { mode: "Off" },
      console: { mode: "Tty" },
    });
    expect(vmConfig({ ...SPEC, confidential: { ...confidential, hostData: "" } }, "/s").payload).toEqual({
      igvm: "/guest.igvm",
    });
    for (const other of [
      { ...confidential, igvm: "" },
      { kind: "tdx", configurationId: "", quoteService: { kind: "vsock", port: 1 } } as const,
    ]) {
      expect(() => vmConfig({ ...SPEC, confidential: other }, "/s")).toThrow(
        expect.objectContaining({ code: "unsupported" }),
      );
    }
  });

  test("confines the monitor to what disks may be, if that is asked for", () => {
    const options = { ...NO_OPTIONS, landlock: ["/var/lib/volumes"] };
    const rules = [
      { path: "/dev", access: "rw" },
      { path: "/run/kata/s", access: "rw" },
      { path: `/var/lib/kata-containers/disks/${SPEC.id}`, access: "rw" },
      { path: "/var/lib/volumes", access: "rw" },
    ];
    expect(vmConfig({ ...SPEC, options }, "/s")).toMatchObject({
      landlock_enable: true,
      landlock_rules: rules,
    });
    for (const config of [vmConfig(SPEC, "/s"), vmConfig({ ...SPEC, options }, "/s", true)]) {
      expect(config).not.toHaveProperty("landlock_enable");
      expect(config).not.toHaveProperty("landlock_rules");
    }
  });

  test("confines a monitor with a user of its own to that one's directory, where its disks are", () => {
    const options = { ...NO_OPTIONS, landlock: [] };
    expect(vmConfig({ ...SPEC, options, user: USER, runDirectory: USER.directory }, "/s")).toMatchObject({
      landlock_rules: [
        { path: "/dev", access: "rw" },
        { path: USER.directory, access: "rw" },
      ],
    });
  });

  test("tells all of a machine, in the API's words", () => {
    const { payload, ...config } = vmConfig(SPEC, "/run/clh.sock");
    expect(config).toEqual({
      cpus: {
        boot_vcpus: 2,
        max_vcpus: 4,
        nested: false,
        topology: { threads_per_core: 1, cores_per_die: 4, dies_per_package: 1, packages: 1 },
      },
      memory: { size: 268_435_456, shared: true, hugepages: false, prefault: false, hotplug_method: "Acpi" },
      disks: [
        {
          id: "disk0",
          path: "/d",
          readonly: true,
          image_type: "Raw",
          num_queues: 2,
          queue_size: 1024,
          direct: false,
        },
      ],
      fs: [
        {
          id: "share0",
          tag: "kataShared",
          socket: "/run/fs.sock",
          num_queues: 1,
          queue_size: 512,
          pci_segment: 1,
        },
      ],
      rng: { src: "/dev/urandom" },
      serial: { mode: "Tty" },
      console: { mode: "Off" },
      vsock: { cid: 3, socket: "/run/clh.sock" },
      platform: { num_pci_segments: 2 },
    });
    expect(payload).toMatchObject({ kernel: "/guest/vmlinux", initramfs: "/guest/initrd" });
    expect(payload.cmdline).toMatch(/ console=ttyS0 .* nr_cpus=4 .* agent\.x=1$/);
  });

  test.each<[what: string, changes: Partial<MachineSpec>]>([
    ["a machine from a RAM disk", {}],
    [
      "one from an image, with huge pages and a balloon",
      {
        root: { kind: "image", path: "/i", filesystem: "erofs" },
        hugePages: true,
        preallocateMemory: true,
        reclaimMemory: true,
      },
    ],
    ["one whose memory grows", { memoryGrowth: { kind: "virtio-mem", maxMemoryMib: 1024 } }],
    ["one from a firmware, without devices", { kernel: "", firmware: "/f", devices: [], entropySource: "" }],
  ])("for %s keeps to the published schema", (_what, changes) => {
    expect(faults(vmConfig({ ...SPEC, ...changes }, "/v"), "VmConfig")).toEqual([]);
  });

  test("puts a guest's image first, so that it is the first disk", () => {
    const root = { kind: "image", path: "/i", filesystem: "ext4" } as const;
    const { disks = [] } = vmConfig({ ...SPEC, root }, "/v");
    expect(disks.map(({ path, readonly }) => [path, readonly])).toEqual([
      ["/i", true],
      ["/d", true],
    ]);
  });

  test("tells the kernel of a checked image's hashes, and boots what opens it", () => {
    const verity = { rootHash: "ab", salt: "cd", dataBlocks: 1, dataBlockSize: 4096, hashBlockSize: 4096 };
    const root = { kind: "image", path: "/i", filesystem: "erofs", verity, initrd: "/opener" } as const;
    const { payload, disks } = vmConfig({ ...SPEC, root }, "/s");
    expect(payload).toMatchObject({
      initramfs: "/opener",
      cmdline: expect.stringContaining(
        'dm-mod.create="dm-verity,,,ro,0 8 verity 1 /dev/vda1 /dev/vda2 4096 4096 1 0 sha256 ab cd" root=/dev/dm-0',
      ),
    });
    expect(disks?.[0]).toMatchObject({ path: "/i", readonly: true });
  });

  test("offers nested virtualization where the host's hypervisor can do it", () => {
    expect(vmConfig({ ...SPEC, accelerator: "kvm" }, "/v").cpus.nested).toBe(true);
  });

  test("refuses kernel and firmware at once", () => {
    expect(() => vmConfig({ ...SPEC, firmware: "/f" }, "/v")).toThrowError(/leave one of the two empty/);
  });
});

test("what is plugged in later keeps to the published schema", () => {
  const disk = diskConfig({ kind: "disk", id: "d", path: "/d", readOnly: false }, { vcpus: 3 });
  const card = { kind: "network", id: "n", macAddress: "02:00:00:00:00:01" } as const;
  const taps = networkRequest({ ...card, backend: { kind: "tap", queues: [{ tap: 3 }, { tap: 4 }] } }, {});
  expect(taps).toEqual({
    kind: "tap",
    config: { id: "n", mac: card.macAddress, num_queues: 4, queue_size: 256 },
    taps: [3, 4],
  });
  const passed = networkRequest({ ...card, backend: { kind: "vfio", pciAddress: "0000:01:00.0" } }, {});
  expect(passed).toEqual({ kind: "pass-through", id: "n", path: "/sys/bus/pci/devices/0000:01:00.0" });
  const ofUser = () =>
    networkRequest({ ...card, backend: { kind: "vfio", pciAddress: "0000:01:00.0" } }, { user: USER });
  expect(ofUser).toThrow(
    expect.objectContaining({ code: "unsupported", hint: expect.stringContaining("rootless") }),
  );
  expect(faults(disk, "DiskConfig")).toEqual([]);
  expect(faults(taps.kind === "tap" && taps.config, "NetConfig")).toEqual([]);
  expect(faults({ id: "n", path: "/sys/x" }, "DeviceConfig")).toEqual([]);
});

test("images that extend the root are read-only disks with serial numbers, before all others, and none of a confidential guest", () => {
  const extensions = [{ name: "tools", path: "/tools.img", verityParameters: "" }];
  const config = vmConfig({ ...SPEC, extensions }, "/s");
  expect(config.disks?.[0]).toMatchObject({
    id: "extension-tools",
    path: "/tools.img",
    readonly: true,
    serial: "extension-tools",
  });
  expect(faults(config, "VmConfig")).toEqual([]);
  const confidential = { kind: "secure-execution" } as const;
  expect(() => vmConfig({ ...SPEC, extensions, confidential }, "/s")).toThrow(
    expect.objectContaining({
      code: "unsupported",
      object: expect.stringContaining("guest_extension_images"),
    }),
  );
});

test("a card of the host is named by its directory, behind the IOMMU if there is one, and Landlock lets it be read", () => {
  const card = { kind: "host-card", id: "card0", pciAddress: "0000:81:00.0", port: "root-port" } as const;
  const config = { id: "card0", path: "/sys/bus/pci/devices/0000:81:00.0" };
  expect(hostCardConfig(card, {})).toEqual(config);
  const behind = hostCardConfig(card, { options: { ...NO_OPTIONS, iommu: true } });
  expect(behind).toEqual({ ...config, iommu: true });
  expect(faults(behind, "DeviceConfig")).toEqual([]);
  const options: MachineOptions = { ...NO_OPTIONS, landlock: [], cardPort: "root-port" };
  expect(vmConfig({ ...SPEC, options }, "/s").landlock_rules).toContainEqual({ path: "/sys", access: "r" });
});

test("limits, and an IOMMU, keep to the published schema", () => {
  const options: MachineOptions = {
    ...NO_OPTIONS,
    iommu: true,
    nested: false,
    cardRates: { bandwidth: 80_000, bandwidthBurst: 8000, operations: 0, operationsBurst: 0 },
  };
  const rates: MachineSpec["rates"] = {
    disk: { bandwidth: 16_000, bandwidthBurst: 0, operations: 100, operationsBurst: 50 },
    network: { received: 0, sent: 0 },
  };
  const disk = { kind: "disk", id: "d", path: "/d", readOnly: false } as const;
  const config = vmConfig({ ...SPEC, options, rates, accelerator: "kvm", devices: [disk] }, "/v");
  expect(faults(config, "VmConfig")).toEqual([]);
  expect(config.cpus.nested).toBe(false);
  expect(config.platform).toEqual({ num_pci_segments: 2, iommu_segments: [1] });
  expect(config.payload.cmdline).toContain(" iommu=pt ");
  expect(config.disks?.find(({ id }) => id === "d")).toMatchObject({
    iommu: true,
    rate_limiter_config: {
      bandwidth: { size: 2000, refill_time: 1000 },
      ops: { size: 100, one_time_burst: 50, refill_time: 1000 },
    },
  });
  const card = { kind: "network", id: "n", macAddress: "02:00:00:00:00:01" } as const;
  const request = networkRequest({ ...card, backend: { kind: "tap", queues: [{ tap: 3 }] } }, { options });
  const net = request.kind === "tap" ? request.config : undefined;
  expect(faults(net, "NetConfig")).toEqual([]);
  expect(net).toMatchObject({
    iommu: true,
    rate_limiter_config: { bandwidth: { size: 10_000, one_time_burst: 1000, refill_time: 1000 } },
  });
});

test("the monitor says as much as it is asked to, and goes without its filter if it has to", () => {
  expect(programArguments(SPEC, 3)).toEqual(["--api-socket", "fd=3"]);
  const chatty = { ...SPEC, options: { ...NO_OPTIONS, verbosity: 2 }, withoutSeccomp: true };
  expect(programArguments(chatty, 3)).toEqual(["--api-socket", "fd=3", "-vv", "--seccomp", "false"]);
});

test.each([
  [{ payload: {}, cpus: { boot_vcpus: 1 } }, ["VmConfig.cpus.max_vcpus: missing"]],
  [{ payload: { kernel: 1 } }, ["VmConfig.payload.kernel: expected string, got 1"]],
  [{ payload: {}, disk: [] }, ["VmConfig.disk: no such field"]],
  [
    { payload: {}, disks: [{ image_type: "raw" }] },
    ["VmConfig.disks[0].image_type: expected one of FixedVhd|Qcow2|Raw|Vhdx|Unknown"],
  ],
])("the schema finds what is wrong with %j", (value, expected) => {
  expect(faults(value, "VmConfig")).toEqual(expected);
});

describe("pciPath()", () => {
  test.each([
    ["0000:00:05.0", "05"],
    ["0000:00:1F.0", "1f"],
  ])("of %s is %s", (address, path) => {
    expect(pciPath(address)).toBe(path);
  });

  test.each(["0001:00:05.0", "0000:01:05.0", "00:05.0", "", "0000:00:05"])("refuses %j", (address) => {
    expect(() => pciPath(address)).toThrowError(/read the address of a device/);
  });
});
