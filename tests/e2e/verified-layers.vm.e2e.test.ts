/**
 * Layers of images as disks that the guest checks: containerd asks the project's snapshotter for snapshots, the shim plugs the layers into
 * the machine, the guest opens each through dm-verity.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { verityHash } from "../../src/policy/genpolicy/image/layer.ts";
import { chainIds, layerId } from "../../src/policy/layers/chain-id.ts";
import type { CommandResult } from "../harness/command.ts";
import { CONTAINERD_SUITES, containerdPrograms, containerdVersion } from "../harness/containerd-versions.ts";
import { Ctr } from "../harness/ctr.ts";
import { fuseMountHelper } from "../harness/fuse-mount-helper.ts";
import { BUILT_PROGRAMS, writeKataConfiguration } from "../harness/kata-configuration.ts";
import {
  awaitLayerSnapshotter,
  LAYER_SNAPSHOTTER,
  LayerSnapshotter,
  layerSnapshotterSocket,
} from "../harness/layer-snapshotter.ts";
import { LAYERS_SAY, LAYERS_SCRIPT, type LayeredImage, layeredImage } from "../harness/layered-image.ts";
import { PrivateContainerd } from "../harness/private-containerd.ts";
import { KATA_RUNTIME } from "../harness/subject.ts";

/** Packages may have to be fetched. */
const SET_UP_MS = 240_000;

let prepared: string;
let mountHelper: string;
let containerd: PrivateContainerd;
let snapshotter: LayerSnapshotter;
let image: LayeredImage;
let ctr: Ctr;
let count = 0;
/** What newer versions of ctr want, to unpack with that snapshotter. */
let local: readonly string[];

beforeAll(async () => {
  const scratch = join(BUILT_PROGRAMS, "../scratch");
  mkdirSync(scratch, { recursive: true });
  prepared = mkdtempSync(join(scratch, "layers-"));
  image = await layeredImage(prepared);
  mountHelper = await fuseMountHelper();
  // Any version asks for snapshots in the same way.
  const wanted = process.env.KATA_TEST_CONTAINERD_SUITE ?? "sid";
  const binaries = await containerdPrograms(CONTAINERD_SUITES.find((suite) => suite === wanted) ?? "sid");
  const version = await containerdVersion(binaries);
  local = version.startsWith("1.") ? [] : ["--local"];
  // Nobody else unpacks layers then: they become disks at once.
  const differs = (directory: string) =>
    version.startsWith("1.6") ? {} : { "kata-layers": layerSnapshotterSocket(directory) };
  containerd = await PrivateContainerd.start({
    ...(binaries === undefined ? {} : { binaries }),
    searchFirst: [BUILT_PROGRAMS, mountHelper],
    env: (directory) => ({ KATA_CONF_FILE: writeKataConfiguration(directory, "configuration") }),
    proxySnapshotters: (directory) => ({ [LAYER_SNAPSHOTTER]: layerSnapshotterSocket(directory) }),
    proxyDiffers: differs,
  });
  snapshotter = await LayerSnapshotter.start(containerd.address.directory, containerd.address.socket);
  ctr = new Ctr({ ...containerd.address, snapshotter: LAYER_SNAPSHOTTER });
  await awaitLayerSnapshotter(ctr);
  await importLayers();
}, SET_UP_MS);
afterAll(async () => {
  await snapshotter?.[Symbol.asyncDispose]();
  await containerd?.[Symbol.asyncDispose]();
  rmSync(prepared, { recursive: true, force: true });
});

async function importLayers(): Promise<void> {
  await ctr.must(["images", "import", ...local, "--snapshotter", LAYER_SNAPSHOTTER, image.archive]);
}

/** Runs a script in a container of the image. ctr itself mounts the snapshot, to look for users. */
async function run(
  script: string,
  runtime = KATA_RUNTIME,
  flags: readonly string[] = [],
): Promise<CommandResult> {
  const path = [BUILT_PROGRAMS, mountHelper, process.env.PATH, "/usr/sbin:/sbin"].join(":");
  return await ctr.runContainer(
    {
      id: `${containerd.address.tag}-layers-${++count}`,
      image: image.name,
      runtime,
      command: ["sh", "-c", script],
      flags,
    },
    { env: { ...process.env, PATH: path } },
  );
}

/** Sixty-four mebibytes more than the guest's memory. */
const TOO_MUCH = "dd if=/dev/zero of=/data/much bs=1M count=320 2>/dev/null; echo $?; stat -c %s /data/much";

test("what it writes may be more than the guest has memory, on a disk that leaves nothing behind", async () => {
  const disks = "/var/lib/kata-containers/disks";
  const before = existsSync(disks) ? readdirSync(disks) : [];
  const configuration = writeKataConfiguration(containerd.address.directory, "changes", {
    runtime: { layer_changes: "block-plain", layer_changes_disk_size: 512 },
  });
  const script = `${TOO_MUCH}; rm /data/much; cat /data/kept; echo new > /data/kept; cat /data/kept; grep -c ' ext4 ' /proc/mounts; true`;
  const result = await run(script, KATA_RUNTIME, ["--runtime-config-path", configuration]);
  expect(result).toMatchObject({ status: 0, stdout: "0\n335544320\nkept\nnew\n0\n", stderr: "" });
  expect(existsSync(disks) ? readdirSync(disks) : []).toEqual(before);
  // In memory it has no room.
  expect((await run(TOO_MUCH)).stdout).not.toMatch(/^0\n/);
});

/** The disk of a layer, lowest first. */
function diskOf(index: number): string {
  return join(snapshotter.layers, layerId(chainIds(image.diffIds)[index] ?? ""));
}

test("an image's layers are disks with the root hashes that genpolicy computes", () => {
  expect(readdirSync(snapshotter.layers).sort()).toEqual(
    image.diffIds.map((_, i) => diskOf(i).split("/").at(-1)).sort(),
  );
  const manifest = JSON.parse(readFileSync(join(image.layout, "index.json"), "utf8"));
  const blob = (digest: string) =>
    readFileSync(join(image.layout, "blobs/sha256", digest.slice("sha256:".length)));
  const { layers } = JSON.parse(blob(manifest.manifests[0].digest).toString("utf8"));
  const records = readdirSync(join(snapshotter.layers, "../snapshots")).map((name) =>
    JSON.parse(readFileSync(join(snapshotter.layers, "../snapshots", name), "utf8")),
  );
  for (const [index, { digest }] of layers.entries()) {
    const diffId = image.diffIds[index] ?? "";
    const record = records.find(({ key }) => key.endsWith(chainIds(image.diffIds)[index]));
    expect(record.labels["io.katacontainers.dm-verity.root-hash"]).toBe(
      verityHash(gunzipSync(blob(digest)), "erofs", diffId),
    );
  }
});

test("a container sees them as one file system that it can write to", async () => {
  expect(await run(LAYERS_SCRIPT)).toMatchObject({ status: 0, stdout: LAYERS_SAY, stderr: "" });
});

test("what it reads comes through dm-verity, and what it writes is gone with it", async () => {
  const result = await run(
    "grep ' / ' /proc/mounts | cut -d' ' -f1,3; ls /sys/block | grep -c dm-; cat /sys/block/dm-0/ro; cat /data/kept",
  );
  expect(result).toMatchObject({ status: 0, stdout: "overlay overlay\n3\n1\nkept\n", stderr: "" });
});

test("on the host kata-overlay shows them, read-only", async () => {
  const result = await run(
    "cat /data/changed /data/kept; ls /data/gone 2>/dev/null; echo x > /data/kept",
    "io.containerd.runc.v2",
  );
  expect(result.stdout).toBe("second\nkept\n");
  expect(result.stderr).toMatch(/Read-only file system/);
});

/** Puts another disk in place of a layer's while `check` runs; undefined for none. */
async function tampered(
  index: number,
  change: (disk: Buffer) => Buffer | undefined,
  check: () => Promise<void>,
): Promise<void> {
  const path = diskOf(index);
  const kept = readFileSync(path);
  const disk = change(Buffer.from(kept));
  if (disk === undefined) rmSync(path);
  else writeFileSync(path, disk);
  try {
    await check();
  } finally {
    writeFileSync(path, kept);
  }
}

/** Turns a bit over. */
function flipped(disk: Buffer, at: number): Buffer {
  disk.writeUInt8(disk.readUInt8(at) ^ 1, at);
  return disk;
}

test("a block that somebody has changed cannot be read", async () => {
  const change = (disk: Buffer) => {
    const at = disk.indexOf("0123456789abcdef".repeat(256));
    expect(at).toBeGreaterThan(0);
    return flipped(disk, at + 4096);
  };
  await tampered(1, change, async () => {
    const result = await run("cat /data/big > /dev/null; echo $?; cat /data/kept");
    expect(result.stdout).toBe("1\nkept\n");
    expect(result.stderr).toMatch(/Input\/output error/);
  });
});

test.each<[string, (disk: Buffer) => Buffer | undefined]>([
  ["the top of its tree", (disk) => flipped(disk, Number(disk.readBigUInt64LE(disk.length - 504)) * 4096)],
  ["the sector that tells where the tree is", (disk) => flipped(disk, disk.length - 512)],
])("a layer with another bit in %s does not start", async (_what, change) => {
  await tampered(0, change, async () => {
    const result = await run("true");
    expect(result.status).not.toBe(0);
    expect(result.stderr).toMatch(/EIO|verify layer/);
  });
});

test("a layer that is gone is named", async () => {
  await tampered(
    2,
    () => undefined,
    async () => {
      const result = await run("true");
      expect(result.status).not.toBe(0);
      expect(result.stderr).toMatch(diskOf(2));
    },
  );
});

test("what is removed is gone from the disk, and can be made again", async () => {
  await ctr.must(["images", "rm", "--sync", image.name]);
  expect(readdirSync(snapshotter.layers)).toEqual([]);
  await importLayers();
  expect(existsSync(diskOf(2))).toBe(true);
});
