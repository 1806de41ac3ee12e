/**
 * Root filesystems of containerd's other snapshotters: a disk in a file, and layers that are EROFS images. Debian's own containerd is
 * older than they are, so this is a newer one, with mkfs.erofs beside it.
 */
import { copyFileSync, mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fetchBinaryPackage } from "../../scripts/apt/private-apt.ts";
import { mustRun } from "../harness/command.ts";
import { containerdPrograms } from "../harness/containerd-versions.ts";
import { Ctr } from "../harness/ctr.ts";
import { debianArchives } from "../harness/debian-archives.ts";
import { busyboxImage } from "../harness/images.ts";
import { BUILT_PROGRAMS, writeKataConfiguration } from "../harness/kata-configuration.ts";
import { PrivateContainerd } from "../harness/private-containerd.ts";
import { KATA_RUNTIME, subject } from "../harness/subject.ts";

/** Packages may have to be fetched. */
const SET_UP_MS = 180_000;

const prepared = join(BUILT_PROGRAMS, "../scratch", `snapshotters-${process.pid}`);
let containerd: PrivateContainerd;

/** What containerd starts with: the file that every disk is a copy of, and mkfs.erofs. */
async function prepare(directory: string): Promise<void> {
  const scratch = join(directory, "scratch");
  writeFileSync(scratch, "");
  truncateSync(scratch, 32 << 20);
  await mustRun("/sbin/mkfs.ext4", ["-q", "-F", scratch]);
  const { path } = await fetchBinaryPackage({ suite: (await debianArchives()).suite, name: "erofs-utils" });
  await mustRun("dpkg-deb", ["--extract", path, join(directory, "erofs-utils")]);
}

beforeAll(async () => {
  const binaries = await containerdPrograms("sid");
  if (binaries === undefined) throw new Error("there is no containerd of sid");
  mkdirSync(prepared, { recursive: true });
  await prepare(prepared);
  containerd = await PrivateContainerd.start({
    binaries,
    searchFirst: [BUILT_PROGRAMS, join(prepared, "erofs-utils/usr/bin")],
    env: (directory) => {
      copyFileSync(join(prepared, "scratch"), join(directory, "scratch"));
      return { KATA_CONF_FILE: writeKataConfiguration(directory, "configuration") };
    },
    snapshotters: (directory) => ({
      blockfile: [`scratch_file = "${directory}/scratch"`, 'fs_type = "ext4"', 'mount_options = ["loop"]'],
      erofs: [],
    }),
  });
}, SET_UP_MS);
afterAll(async () => {
  rmSync(prepared, { recursive: true, force: true });
  await containerd?.[Symbol.asyncDispose]();
});

/** Runs a script in a container whose root filesystem `snapshotter` makes. @returns what it says. */
async function run(snapshotter: string, script: string, configuration?: string): Promise<string> {
  const { name, archive } = await busyboxImage();
  const ctr = new Ctr({ ...containerd.address, snapshotter });
  await ctr.must(["images", "import", "--local", "--snapshotter", snapshotter, archive]);
  const result = await ctr.runContainer({
    id: `${containerd.address.tag}-${snapshotter}-${configuration === undefined ? 0 : 1}`,
    image: name,
    runtime: KATA_RUNTIME,
    command: ["sh", "-c", script],
    flags: configuration === undefined ? [] : ["--runtime-config-path", configuration],
  });
  expect(result).toMatchObject({ status: 0, stderr: "" });
  return result.stdout;
}

const SCRIPT = "grep ' / ' /proc/mounts | cut -d' ' -f1,3; echo written > /file; cat /file; ls -d /bin/sh";

/** How a directory of the host's is a root filesystem: shared, or as a disk that is made of it. */
const DIRECTORY = subject.sharesFiles ? "kataShared virtiofs" : "/dev/vda ext4";

test("a root filesystem of the blockfile snapshotter is a disk of the guest's", async () => {
  expect(await run("blockfile", SCRIPT)).toBe("/dev/vda ext4\nwritten\n/bin/sh\n");
});

test("with disable_block_device_use the host mounts that disk and shows what is in it", async () => {
  const changes = { "hypervisor.qemu": { disable_block_device_use: true } };
  const configuration = writeKataConfiguration(containerd.address.directory, "shared", changes);
  expect(await run("blockfile", SCRIPT, configuration)).toBe(`${DIRECTORY}\nwritten\n/bin/sh\n`);
});

test("a root filesystem of the erofs snapshotter is shown as a directory is", async () => {
  expect(await run("erofs", SCRIPT)).toBe(`${DIRECTORY}\nwritten\n/bin/sh\n`);
});
