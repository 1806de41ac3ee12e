/** Images that extend the guest's root: what is in them is there for the guest, and nothing that was not meant. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import type { CpioEntry } from "../../src/image/cpio.ts";
import { rootDisk } from "../../src/image/root-disk.ts";
import { writeKataConfiguration } from "../harness/kata-configuration.ts";
import { test } from "../harness/workbench.ts";

const hypervisor = process.env.KATA_TEST_HYPERVISOR ?? "qemu";
const PLACE = "/run/kata-extensions/tools";
/** What the guest's hook sets for all of its kernel, and a container sees. */
const HOOK = `#!${PLACE}/busybox sh\necho 37 > /proc/sys/vm/swappiness\n`;

let directory: string;
let disk: string;
let verity: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-extension-"));
  const file = (path: string, data: Uint8Array): CpioEntry => ({ type: "file", path, mode: 0o755, data });
  const made = rootDisk(
    [
      file("busybox", readFileSync("/bin/busybox")),
      { type: "directory", path: "hooks", mode: 0o755 },
      { type: "directory", path: "hooks/prestart", mode: 0o755 },
      file("hooks/prestart/set", new TextEncoder().encode(HOOK)),
    ],
    "extension",
  );
  disk = join(directory, "tools.img");
  writeFileSync(disk, made.disk);
  verity = made.verityParameters;
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe.skipIf(hypervisor !== "qemu" && hypervisor !== "clh")("a guest extension image", () => {
  /** @param template whether the machine may be a clone of a saved one. */
  function flags(name: string, path: string, parameters: string, template = false): string[] {
    const configuration = writeKataConfiguration(directory, name, {
      [`hypervisor.${hypervisor}`]: { guest_hook_path: `${PLACE}/hooks` },
      factory: { enable_template: template },
    });
    const image = { name: "tools", path, verity_params: parameters };
    const lines = Object.entries(image).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
    appendFileSync(configuration, `\n[[hypervisor.${hypervisor}.guest_extension_images]]\n${lines.join("")}`);
    return ["--runtime-config-path", configuration];
  }

  for (const template of [false, true]) {
    test(`is checked and mounted before the agent answers${template ? ", also in a clone" : ""}`, async ({
      bench,
    }) => {
      const script = "cat /sys/block/dm-0/dm/name /sys/block/dm-0/ro /proc/sys/vm/swappiness";
      const result = await bench.run(script, flags(`checked-${template}`, disk, verity, template));
      expect(result).toMatchObject({ status: 0, stdout: "extension-tools\n1\n37\n", stderr: "" });
    });
  }

  test("without hashes is mounted as it is", async ({ bench }) => {
    const plain = join(directory, "plain.img");
    // What is between the partitions' tables and their hashes.
    const blocks = Number(/data_blocks=(\d+)/.exec(verity)?.[1]);
    writeFileSync(plain, readFileSync(disk).subarray(1 << 20, (1 << 20) + blocks * 4096));
    const result = await bench.run(
      "ls /sys/block | grep -c dm-; cat /proc/sys/vm/swappiness",
      flags("plain", plain, ""),
    );
    expect(result).toMatchObject({ stdout: "0\n37\n", stderr: "" });
  });

  test("whose hashes nobody checks, or that is another one, keeps the guest from starting", async ({
    bench,
  }) => {
    const changed = Buffer.from(readFileSync(disk));
    // In the superblock of the file system.
    changed.writeUInt8(changed.readUInt8((1 << 20) + 1030) ^ 1, (1 << 20) + 1030);
    const tampered = join(directory, "tampered.img");
    writeFileSync(tampered, changed);
    for (const [name, path, parameters] of [
      ["stripped", disk, ""],
      ["tampered", tampered, verity],
      ["other", disk, verity.replace(/root_hash=[0-9a-f]{64}/, `root_hash=${"0".repeat(64)}`)],
    ] as const) {
      const result = await bench.run("echo started", flags(name, path, parameters));
      expect([name, result.status === 0, result.stdout]).toEqual([name, false, ""]);
      expect(result.stderr).toMatch(/guest extension image|Kernel panic|Rebooting/);
    }
  });

  test("that is not there is refused with the key that names it", async ({ bench }) => {
    const result = await bench.run("true", flags("missing", "/nonexistent.img", ""));
    expect(result.status).not.toBe(0);
    expect(result.stderr).toMatch(/guest_extension_images/);
  });
});
