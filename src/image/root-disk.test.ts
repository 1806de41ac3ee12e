/** The root disk as others read it: the kernel's partition table and file system, veritysetup's tree. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseVerityParameters } from "../sandbox/hypervisor/verity-parameters.ts";
import type { CpioEntry } from "./cpio.ts";
import { rootDisk } from "./root-disk.ts";

const ENTRIES: readonly CpioEntry[] = [
  { type: "directory", path: "dev", mode: 0o755 },
  { type: "character-device", path: "dev/null", mode: 0o666, major: 1, minor: 3 },
  { type: "directory", path: "tmp", mode: 0o1777 },
  { type: "file", path: "init", mode: 0o755, data: Buffer.from("#!agent".repeat(2000)) },
  { type: "symbolic-link", path: "link", mode: 0o777, target: "init" },
];

/** Where the kernel and others find a partition, bytes. Source: UEFI specification 2.10, 5.3.3. */
function partitions(disk: Uint8Array): { readonly name: string; readonly content: Buffer }[] {
  const bytes = Buffer.from(disk);
  return [0, 1].map((index) => {
    const at = 1024 + index * 128;
    const first = Number(bytes.readBigUInt64LE(at + 32)) * 512;
    const last = Number(bytes.readBigUInt64LE(at + 40)) * 512 + 512;
    const name = bytes
      .subarray(at + 56, at + 128)
      .toString("utf16le")
      .replace(/\0+$/, "");
    return { name, content: bytes.subarray(first, last) };
  });
}

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-root-disk-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("its first partition is the file system that a kernel mounts", () => {
  const [root] = partitions(rootDisk(ENTRIES, "seed").disk);
  expect(root?.name).toBe("root");
  const [file, place] = [join(directory, "root"), join(directory, "place")];
  writeFileSync(file, root?.content ?? "");
  mkdirSync(place);
  execFileSync("mount", ["-t", "erofs", "-o", "ro,loop", file, place]);
  try {
    expect(readFileSync(join(place, "sbin/init"), "latin1")).toBe("#!agent".repeat(2000));
    expect(readlinkSync(join(place, "link"))).toBe("init");
    expect(statSync(join(place, "dev/null")).rdev).toBe(0x103);
    expect(statSync(join(place, "tmp")).mode).toBe(0o041777);
  } finally {
    execFileSync("umount", [place]);
  }
});

test("its second one is the tree of the first, with the root that is told", () => {
  const { disk, verityParameters } = rootDisk(ENTRIES, "seed");
  const { rootHash, salt, dataBlocks } = parseVerityParameters(verityParameters);
  const [data, tree] = partitions(disk);
  const files = [data, tree].map((partition, index) => {
    const path = join(directory, `partition${index}`);
    writeFileSync(path, partition?.content ?? "");
    return path;
  });
  const verify = (root: string) =>
    spawnSync("/usr/sbin/veritysetup", [
      "verify",
      "--no-superblock",
      `--data-blocks=${dataBlocks}`,
      "--data-block-size=4096",
      "--hash-block-size=4096",
      `--salt=${salt}`,
      ...files,
      root,
    ]).status;
  expect(verify(rootHash)).toBe(0);
  expect(verify("0".repeat(64))).not.toBe(0);
});

test("util-linux finds the partitions by both tables", () => {
  const { disk } = rootDisk(ENTRIES, "seed");
  const shown = (bytes: Uint8Array) => {
    const file = join(directory, "disk");
    writeFileSync(file, bytes);
    const args = ["--raw", "--noheadings", "--output", "NAME,START,TYPE", file];
    return execFileSync("/usr/bin/partx", args, { encoding: "utf8" });
  };
  const types = {
    x64: "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
    arm64: "b921b045-1df0-41c3-af44-4c6f280d3fae",
  };
  expect(shown(disk)).toMatch(
    new RegExp(`^root 2048 ${types[process.arch === "x64" ? "x64" : "arm64"]}\nroot-verity 4096 `),
  );
  const withoutFirst = Uint8Array.from(disk);
  withoutFirst.fill(0, 512, 1024);
  expect(shown(withoutFirst)).toBe(shown(disk));
  // The checksum counts.
  withoutFirst[disk.length - 512 + 60] = (disk[disk.length - 512 + 60] ?? 0) ^ 1;
  expect(shown(withoutFirst)).not.toBe(shown(disk));
});

test("equal inputs give equal bytes, and another seed another salt", () => {
  const one = rootDisk(ENTRIES, "seed");
  expect(Buffer.from(rootDisk(ENTRIES, "seed").disk).equals(one.disk)).toBe(true);
  expect(rootDisk(ENTRIES, "other").verityParameters).not.toBe(one.verityParameters);
});
