import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { guestCommandLine } from "./guest-command-line.ts";
import { readSnpFirmware } from "./snp-firmware.ts";
import { snpLaunchMeasurement } from "./snp-launch.ts";
import { processorSignature } from "./snp-processor.ts";
import { testFirmware } from "./testing/firmware.ts";

const configuration = (hash: string) => `[hypervisor.qemu]
kernel = "/vmlinuz"
image = "/image"
initrd = "/initrd"
rootfs_type = "erofs"
kernel_verity_params = "root_hash=${hash.repeat(32)},salt=00ff,data_blocks=10,data_block_size=4096,hash_block_size=4096"
kernel_params = "agent.x=1"
`;
const line = (hash: string) => guestCommandLine(configuration(hash), "/c.toml", 2);

test("the line tells of the disk's root hash, the processors and what the configuration adds", () => {
  const words = line("ab");
  const table = `0 80 verity 1 /dev/vda1 /dev/vda2 4096 4096 10 0 sha256 ${"ab".repeat(32)} 00ff`;
  expect(words).toContain(`dm-mod.create="dm-verity,,,ro,0 80${table.slice(4)}" root=/dev/dm-0`);
  expect(words).toMatch(/ nr_cpus=2 .* agent\.x=1$/);
});

/** One that is told hashes of what it boots. */
const FIRMWARE = readSnpFirmware(
  testFirmware({
    bytes: 16_384,
    hashTable: 0x80_c400,
    resetAddress: 0x80_b004,
    sections: [
      [0x80_0000, 0x9000, 1],
      [0x80_a000, 0x2000, 1],
      [0x80_d000, 0x1000, 2],
      [0x80_e000, 0x1000, 3],
      [0x80_c000, 0x1000, 0x10],
    ],
  }),
);
const HASHES = {
  sha256: (bytes: Uint8Array) => createHash("sha256").update(bytes).digest(),
  sha384: (bytes: Uint8Array) => createHash("sha384").update(bytes).digest(),
};

test("another root hash is another launch measurement", () => {
  const measure = (hash: string) =>
    Buffer.from(
      snpLaunchMeasurement(
        {
          firmware: FIRMWARE,
          boot: { kernel: new Uint8Array(8), initrd: new Uint8Array(8), commandLine: line(hash) },
          processors: 2,
          signature: processorSignature("EPYC-v4") ?? 0,
          features: 1,
        },
        HASHES,
      ),
    ).toString("hex");
  expect(measure("ab")).toBe(measure("ab"));
  expect(measure("ab")).not.toBe(measure("cd"));
});
