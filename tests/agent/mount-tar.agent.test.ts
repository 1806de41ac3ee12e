/** mount.tar by its exact command line, on the kernel's own FUSE. */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { tarOf } from "../../src/policy/genpolicy/testing/image-layout.ts";
import { sourceOf } from "../../src/policy/layers/byte-source.ts";
import { writeLayerDisk } from "../../src/policy/layers/layer-disk.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const PROGRAM = join(ROOT, "build/bin/mount.tar");

let directory: string;
let target: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-mount-tar-"));
  target = join(directory, "target");
  mkdirSync(target);
});
afterEach(() => {
  spawnSync("umount", [target]);
  rmSync(directory, { recursive: true });
});

const run = (...args: string[]) => spawnSync(PROGRAM, args, { encoding: "utf8" });

function writeLayer(tar: Uint8Array): string {
  const path = join(directory, "layer");
  const pieces: Buffer[] = [];
  const hash = (first: Uint8Array, second: Uint8Array) =>
    createHash("sha256").update(first).update(second).digest();
  writeLayerDisk(sourceOf(tar), "tar", `sha256:${"0".repeat(64)}`, hash, (piece) =>
    pieces.push(Buffer.from(piece)),
  );
  writeFileSync(path, Buffer.concat(pieces));
  return path;
}

test("shows what tar(1) has put into the archive, and ends with the mount", () => {
  execFileSync("tar", ["-C", join(ROOT, "docs"), "-cf", join(directory, "docs.tar"), "."]);
  const layer = writeLayer(readFileSync(join(directory, "docs.tar")));
  expect(run(layer, target, "-t", "tar", "-o", "ro,nodev,noexec")).toMatchObject({
    status: 0,
    stdout: "",
    stderr: "",
  });
  execFileSync("diff", ["-r", join(ROOT, "docs"), target]);
  expect(statSync(join(target, "architecture.md")).mtimeMs / 1000).toBe(
    Math.floor(statSync(join(ROOT, "docs/architecture.md")).mtimeMs / 1000),
  );
  expect(() => writeFileSync(join(target, "new"), "")).toThrow("EROFS");
  expect(readFileSync("/proc/self/mountinfo", "utf8")).toMatch(
    new RegExp(`${target} ro,nodev,noexec.* - fuse\\.tar `),
  );
  execFileSync("umount", [target]);
  expect(readdirSync(target)).toEqual([]);
});

test.each<[string, readonly string[], number, RegExp]>([
  [
    "another type",
    ["-t", "ext4"],
    1,
    /^Error: Custom \{ kind: InvalidInput, error: "File system \(-t\) must be \\"tar\\"" \}\n$/,
  ],
  ["rw", ["-o", "rw"], 1, /Tar file system are always read-only/],
  ["an option that there is not", ["-o", "ro,sparkling"], 1, /Unknown option \(sparkling\)/],
  ["a flag that there is not", ["--what"], 2, /^error: unexpected argument '--what' found\n/],
])("refuses %s as the helper that it stands in for", (_what, args, status, stderr) => {
  const layer = writeLayer(tarOf({ a: "1" }));
  const result = run(layer, target, ...args);
  expect(result.status).toBe(status);
  expect(result.stderr).toMatch(stderr);
});

test("refuses a file that is no layer", () => {
  const path = join(directory, "other");
  writeFileSync(path, "x".repeat(5000));
  expect(run(path, target)).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/Custom \{ kind: Other, error: "read layer/),
  });
  expect(readdirSync(target)).toEqual([]);
});
