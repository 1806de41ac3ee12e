/** Launch measurements of SEV-SNP against those that sev-snp-measure 0.0.12 or later gives for the same images. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { guidBytes, readSnpFirmware } from "./snp-firmware.ts";
import { kernelHashes, snpLaunchMeasurement } from "./snp-launch.ts";
import { processorPage, processorSignature } from "./snp-processor.ts";
import { type FirmwareParts, testFirmware } from "./testing/firmware.ts";

const HASHES = {
  sha256: (bytes: Uint8Array) => createHash("sha256").update(bytes).digest(),
  sha384: (bytes: Uint8Array) => createHash("sha384").update(bytes).digest(),
};

const PLAIN: FirmwareParts = {
  bytes: 16_384,
  hashTable: 0x80_c400,
  resetAddress: 0x80_b004,
  sections: [
    [0x80_0000, 0x9000, 1],
    [0x80_a000, 0x3000, 1],
    [0x80_d000, 0x1000, 2],
    [0x80_e000, 0x1000, 3],
  ],
};
const DIRECT: FirmwareParts = { ...PLAIN, sections: [...(PLAIN.sections ?? []), [0x80_c000, 0x1000, 0x10]] };
const WITH_CALLING_AREA: FirmwareParts = {
  ...PLAIN,
  sections: [...(PLAIN.sections ?? []), [0x80_f000, 0x1000, 4]],
};
const BOOT = {
  kernel: Buffer.from("kernel"),
  initrd: Buffer.from("initrd"),
  commandLine: "console=ttyS0",
};

function measure(
  parts: FirmwareParts,
  isDirect: boolean,
  processors: number,
  model: string,
  features = 1,
): string {
  const machine = {
    firmware: readSnpFirmware(testFirmware(parts)),
    boot: isDirect ? BOOT : undefined,
    processors,
    signature: processorSignature(model) ?? 0,
    features,
  };
  return Buffer.from(snpLaunchMeasurement(machine, HASHES)).toString("hex");
}

describe("the measurement", () => {
  test.each([
    [
      "of one processor",
      measure(PLAIN, false, 1, "EPYC-v4"),
      "829b3bc7b4ec81443ba7947f773ddd8ab0eba83bf684bc78" + "f47e7d2f13bce88a85a2ec68f8e75fe1b915bb9a50a141f0",
    ],
    [
      "of four processors",
      measure(PLAIN, false, 4, "EPYC-Milan"),
      "7ca97e0f57091c5c5c01d0ccac12b81f754d5f0862afaff4" + "19f99ec40591f931c4a2406bd88609d90967d78fe92db0f7",
    ],
    [
      "of a kernel booted directly",
      measure(DIRECT, true, 2, "EPYC-Genoa-v1", 0x21),
      "666d5579cea9c45738f7bc8322d8371581b823c3787db430" + "1e82469c8d048942a1cd254ab7a4b0f98a1248912b982b78",
    ],
    [
      "of another kernel's place, unused",
      measure(DIRECT, false, 1, "EPYC"),
      "5f2db0b177e3a09b2fe6731110fb0c611229dc6211c1a816" + "6da2517d51e162443dd42d90d4313978385433d04442619f",
    ],
    [
      "of a calling area",
      measure(WITH_CALLING_AREA, false, 1, "EPYC"),
      "78f7c443580ab5312afc9427b24d0c91959f7b8c4684eeb1" + "f24b069e795a322d8c544fa166f9392790e59e47b69ddef9",
    ],
  ])("%s is that of the published tool", (_what, measured, expected) => {
    expect(measured).toBe(expected);
  });

  test("depends on the kernel, its initrd and every letter of its command line", () => {
    const firmware = readSnpFirmware(testFirmware(DIRECT));
    const of = (boot: typeof BOOT) =>
      Buffer.from(
        snpLaunchMeasurement({ firmware, boot, processors: 1, signature: 0, features: 1 }, HASHES),
      ).toString("hex");
    const all = [
      BOOT,
      { ...BOOT, kernel: Buffer.from("kerneL") },
      { ...BOOT, initrd: Buffer.alloc(0) },
      { ...BOOT, commandLine: "console=ttyS1" },
    ].map(of);
    expect(new Set(all).size).toBe(all.length);
  });

  test("of a kernel needs firmware that takes its hashes", () => {
    expect(() => measure(PLAIN, true, 1, "EPYC")).toThrow(
      expect.objectContaining({ code: "invalid-firmware" }),
    );
  });
});

test("hashes of a kernel are a table of three entries, as QEMU writes it", () => {
  const table = kernelHashes(BOOT, HASHES);
  expect(table.length).toBe(176);
  expect(table.subarray(0, 18)).toEqual(
    Uint8Array.from([...guidBytes("9438d606-4f22-4cc9-b479-a793d411fd21"), 168, 0]),
  );
  expect(Buffer.from(table.subarray(36, 68)).equals(HASHES.sha256(Buffer.from("console=ttyS0\0")))).toBe(
    true,
  );
});

test("the first processor begins at the reset vector", () => {
  const page = new DataView(processorPage({ address: 0xffff_fff0, signature: 0x800f12, features: 1 }).buffer);
  expect(page.getBigUint64(0x18, true)).toBe(0xffff_0000n);
  expect(page.getBigUint64(0x178, true)).toBe(0xfff0n);
  expect(page.getBigUint64(0x310, true)).toBe(0x80_0f12n);
});

test.each([
  ["EPYC-v4", 0x80_0f12],
  ["EPYC-Rome", 0x83_0f10],
  ["EPYC-Milan-v2", 0xa0_0f11],
  ["EPYC-Genoa", 0xa1_0f10],
  ["Skylake", undefined],
])("the signature of %s is %s", (model, signature) => {
  expect(processorSignature(model)).toBe(signature);
});

test.each([
  ["of no whole pages", new Uint8Array(100)],
  ["without a table", new Uint8Array(8192)],
  ["that is not made for SEV", testFirmware({ bytes: 8192, hashTable: 1 })],
  [
    "with a section of an unknown kind",
    testFirmware({ bytes: 8192, resetAddress: 1, sections: [[0, 4096, 99]] }),
  ],
])("firmware %s is refused", (_what, image) => {
  expect(() => readSnpFirmware(image)).toThrow(expect.objectContaining({ code: "invalid-firmware" }));
});
