/** A guest whose root disk is checked against the root hash on its kernel's command line. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { busyboxImage, importImage } from "../harness/images.ts";
import { BUILT_PROGRAMS, writeKataConfiguration } from "../harness/kata-configuration.ts";
import { startKataContainerd } from "../harness/kata-containerd.ts";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { KATA_RUNTIME } from "../harness/subject.ts";

const ROOT = join(import.meta.dirname, "../..");
const SET_UP_MS = 240_000;

let guest: string;
let containerd: PrivateContainerd;
let image: string;
let count = 0;

beforeAll(async () => {
  mkdirSync(join(BUILT_PROGRAMS, "../scratch"), { recursive: true });
  guest = mkdtempSync(join(BUILT_PROGRAMS, "../scratch/guest-"));
  const args = [
    join(ROOT, "node_modules/tsx/dist/cli.mjs"),
    "src/image/build-image.ts",
    "--verity",
    "--output",
    guest,
  ];
  execFileSync(process.execPath, args, { cwd: ROOT, stdio: "pipe" });
  containerd = await startKataContainerd();
  const busybox = await busyboxImage();
  image = busybox.name;
  await importImage(containerd.ctr, busybox);
}, SET_UP_MS);
afterAll(async () => {
  await containerd?.[Symbol.asyncDispose]();
  rmSync(guest, { recursive: true, force: true });
});

/**
 * Runs a container in a guest of the verified image.
 *
 * @param parameters other ones than the builder's.
 * @param template whether its machine may be a clone of a saved one.
 */
async function run(script: string, disk = join(guest, "image"), parameters?: string, template = false) {
  const changes = {
    "hypervisor.qemu": {
      kernel: join(guest, "vmlinuz"),
      image: disk,
      initrd: join(guest, "initrd-verity"),
      rootfs_type: "erofs",
      kernel_verity_params: parameters ?? readFileSync(join(guest, "verity-params"), "utf8").trim(),
    },
    // What is refused is refused at once, and makes nobody wait for a template.
    factory: { enable_template: template },
  };
  const name = `verity-${++count}`;
  return await containerd.ctr.runContainer({
    id: `${containerd.address.tag}-${name}`,
    image,
    runtime: KATA_RUNTIME,
    command: ["sh", "-c", script],
    flags: ["--runtime-config-path", writeKataConfiguration(containerd.address.directory, name, changes)],
  });
}

test("runs containers, its root behind dm-verity", async () => {
  const result = await run(
    "cat /sys/block/dm-0/dm/name /sys/block/dm-0/ro; tr ' ' '\\n' < /proc/cmdline | grep -c root_hash; tr ' ' '\\n' < /proc/cmdline | grep ^root=",
  );
  expect(result).toMatchObject({ status: 0, stdout: "dm-verity\n1\n0\nroot=/dev/dm-0\n", stderr: "" });
});

test("is cloned from a saved machine as any other", async () => {
  for (let times = 0; times < 2; times++) {
    const result = await run(
      "cat /sys/block/dm-0/dm/name; echo x > /tmp/x && cat /tmp/x",
      undefined,
      undefined,
      true,
    );
    expect(result).toMatchObject({ status: 0, stdout: "dm-verity\nx\n", stderr: "" });
  }
  expect(containerd.log).toMatch(/clone|template/);
});

/** The disk with one bit turned over. */
function tampered(at: (disk: Buffer) => number): string {
  const disk = readFileSync(join(guest, "image"));
  const place = at(disk);
  disk.writeUInt8(disk.readUInt8(place) ^ 1, place);
  const path = join(guest, `tampered-${++count}`);
  writeFileSync(path, disk);
  return path;
}

const FIRST_PARTITION = 1 << 20;
/** Of its code, which is read before the first container starts. */
const PART_OF_AGENT = readFileSync(join(BUILT_PROGRAMS, "kata-agent")).subarray(200_000, 200_064);

test.each<[string, (disk: Buffer) => number]>([
  ["the superblock", () => FIRST_PARTITION + 1030],
  ["the agent", (disk) => disk.indexOf(PART_OF_AGENT, FIRST_PARTITION)],
])("does not start with another bit in %s", async (_what, at) => {
  const result = await run("echo started", tampered(at));
  expect(result.status).not.toBe(0);
  expect(result.stdout).toBe("");
});

test("does not start with another root hash", async () => {
  const parameters = readFileSync(join(guest, "verity-params"), "utf8").trim();
  const result = await run(
    "echo started",
    join(guest, "image"),
    parameters.replace(/root_hash=[0-9a-f]{64}/, `root_hash=${"0".repeat(64)}`),
  );
  expect(result.status).not.toBe(0);
  expect(result.stdout).toBe("");
});

test("is refused in one line with parameters that are none", async () => {
  const result = await run("true", join(guest, "image"), "root_hash=abc");
  expect(result.status).not.toBe(0);
  expect(result.stderr).toMatch(/kernel_verity_params.*root_hash is not 64 hexadecimal digits/);
});
