/** Disks of layers, checked by the tool of those who wrote dm-verity. */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { digestOf, tarOf } from "../genpolicy/testing/image-layout.ts";
import { sourceOf } from "./byte-source.ts";
import { type LayerFormat, writeLayerDisk } from "./layer-disk.ts";

const VERITYSETUP = "/usr/sbin/veritysetup";
const hash = (first: Uint8Array, second: Uint8Array) =>
  createHash("sha256").update(first).update(second).digest();
const FORMATS = ["erofs", "tar"] as const;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-layer-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function diskOf(tar: Uint8Array, format: LayerFormat) {
  const pieces: Buffer[] = [];
  const tree = writeLayerDisk(sourceOf(tar), format, digestOf(tar), hash, (piece) =>
    pieces.push(Buffer.from(piece)),
  );
  return { ...tree, disk: Buffer.concat(pieces) };
}

describe.each(FORMATS)("the disk of a layer, %s", (format) => {
  const tar = tarOf({ "etc/passwd": "root:x:0:0::/:/bin/sh\n", big: "0123456789abcdef".repeat(60_000) });

  test("tells in its last sector where the tree is", () => {
    const { disk, blocks, levels } = diskOf(tar, format);
    const last = disk.subarray(-512);
    expect([last.readUInt32LE(0), last.readUInt32LE(4), Number(last.readBigUInt64LE(8))]).toEqual([
      4096,
      4096,
      blocks,
    ]);
    const hashBlocks = levels.reduce((sum, level) => sum + level.length / 4096, 0);
    expect(disk.length).toBe((blocks + hashBlocks + 1) * 4096);
  });

  test("is the same however often it is made, and another for another layer", () => {
    const { disk, rootHash } = diskOf(tar, format);
    expect(diskOf(tar, format).disk.equals(disk)).toBe(true);
    expect(diskOf(tarOf({ "etc/passwd": "other" }), format).rootHash).not.toBe(rootHash);
  });

  test("passes veritysetup's check, and not with another byte in it", () => {
    const { disk, rootHash, blocks } = diskOf(tar, format);
    const path = join(directory, "disk");
    const options = [
      "--no-superblock",
      `--hash-offset=${blocks * 4096}`,
      `--data-blocks=${blocks}`,
      `--salt=${"00".repeat(32)}`,
    ];
    const verify = (root: string) => [
      "verify",
      ...options,
      "--hash=sha256",
      "--data-block-size=4096",
      "--hash-block-size=4096",
      path,
      path,
      root,
    ];
    writeFileSync(path, disk);
    execFileSync(VERITYSETUP, verify(rootHash), { stdio: "pipe" });
    expect(spawnSync(VERITYSETUP, verify("0".repeat(64))).status).not.toBe(0);
    disk.writeUInt8(disk.readUInt8(5000) ^ 1, 5000);
    writeFileSync(path, disk);
    expect(spawnSync(VERITYSETUP, verify(rootHash)).status).not.toBe(0);
  });
});

/** Whoever has a policy with these has them for good: another writer may be faster, but not write other bytes. */
test("the root hashes of a layer are those of earlier versions", () => {
  const tar = tarOf({ "etc/passwd": "root:x:0:0::/:/bin/sh\n", "bin/app": "app" });
  expect(Object.fromEntries(FORMATS.map((format) => [format, diskOf(tar, format).rootHash]))).toEqual({
    erofs: "60cd4d9d701e8debd6205130656757197dd72bdbba7b8da7345f47158b804a2a",
    tar: "968c3749ce515f77a54cb2ef53187878b4dff1b965c0af0a0e45f7debe602ee1",
  });
});
