/** Machines whose memory the host cannot read, as QEMU is told to start them. */
import { expect, test } from "vitest";
import type { ConfidentialGuest, MachineSpec } from "../types.ts";
import { qemuArguments } from "./command-line.ts";

const SPEC: MachineSpec = {
  id: "pod1",
  program: "/usr/bin/qemu-system-x86_64",
  accelerator: "kvm",
  machineType: "q35",
  machineOptions: "",
  cpuFeatures: "",
  firmware: "/usr/share/OVMF.amdsev.fd",
  kernel: "/k",
  root: { kind: "initrd", path: "/i" },
  kernelParameters: "",
  debug: false,
  vcpus: 1,
  maxVcpus: 1,
  memoryMib: 512,
  hugePages: false,
  preallocateMemory: false,
  reclaimMemory: false,
  hotPlugSlots: 0,
  entropySource: "",
  devices: [],
  networkNamespace: undefined,
  runDirectory: "/run/kata/s",
  cgroups: [],
};

function argumentsOf(confidential: ConfidentialGuest) {
  const args = qemuArguments(
    { ...SPEC, confidential },
    { monitor: 3, console: 4, agent: 5, vsock: undefined, devices: [] },
  );
  const after = (flag: string) => args.filter((_, index) => args[index - 1] === flag);
  return {
    machine: after("-machine"),
    cpu: after("-cpu"),
    firmware: after("-bios"),
    guest: after("-object")
      .filter((text) => text.startsWith("{"))
      .map((text) => JSON.parse(text) as unknown),
  };
}

test("an SEV-SNP machine measures its kernel, and carries the initdata's digest", () => {
  const guest = {
    kind: "sev-snp",
    encryptionBit: 51,
    policy: 0x30000,
    idBlock: "aWQ=",
    idAuthentication: "YXV0aA==",
    hostData: "aG9zdA==",
    igvm: "",
  } as const;
  expect(argumentsOf(guest)).toEqual({
    machine: ["q35,accel=kvm,memory-backend=memory0,confidential-guest-support=snp"],
    cpu: ["EPYC-v4"],
    firmware: ["/usr/share/OVMF.amdsev.fd"],
    guest: [
      {
        "qom-type": "sev-snp-guest",
        id: "snp",
        cbitpos: 51,
        "reduced-phys-bits": 1,
        "kernel-hashes": true,
        policy: 0x30000,
        "id-block": "aWQ=",
        "id-auth": "YXV0aA==",
        "host-data": "aG9zdA==",
      },
    ],
  });
  const bare = argumentsOf({ ...guest, idBlock: "", idAuthentication: "", hostData: "" }).guest[0];
  expect(Object.keys(bare as object)).toEqual([
    "qom-type",
    "id",
    "cbitpos",
    "reduced-phys-bits",
    "kernel-hashes",
    "policy",
  ]);
});

test.each([
  [
    { kind: "unix", path: "/var/run/qgs.socket" },
    { type: "unix", path: "/var/run/qgs.socket" },
  ],
  [
    { kind: "vsock", port: 0 },
    { type: "vsock", cid: "2", port: "4050" },
  ],
  [
    { kind: "vsock", port: 4060 },
    { type: "vsock", cid: "2", port: "4060" },
  ],
] as const)("a TDX machine finds its quote service at %j", (quoteService, expected) => {
  expect(argumentsOf({ kind: "tdx", configurationId: "bXI=", quoteService })).toEqual({
    machine: ["q35,accel=kvm,memory-backend=memory0,confidential-guest-support=tdx,kernel-irqchip=split"],
    cpu: ["host"],
    firmware: ["/usr/share/OVMF.amdsev.fd"],
    guest: [{ "qom-type": "tdx-guest", id: "tdx", mrconfigid: "bXI=", "quote-generation-socket": expected }],
  });
});

test("a machine of Secure Execution boots what its kernel's file has, and nothing beside it", () => {
  const spec = {
    ...SPEC,
    machineType: "s390-ccw-virtio",
    firmware: "",
    root: { kind: "initrd", path: "" },
    confidential: { kind: "secure-execution" },
  } as const;
  const args = qemuArguments(spec, { monitor: 3, console: 4, agent: 5, vsock: undefined, devices: [] });
  const after = (flag: string) => args.filter((_, index) => args[index - 1] === flag);
  expect(after("-machine")).toEqual([
    "s390-ccw-virtio,accel=kvm,memory-backend=memory0,confidential-guest-support=pv0",
  ]);
  expect(after("-object").at(-1)).toBe('{"qom-type":"s390-pv-guest","id":"pv0"}');
  expect(after("-kernel")).toEqual(["/k"]);
  for (const flag of ["-initrd", "-append", "-bios"]) expect(args).not.toContain(flag);
});
