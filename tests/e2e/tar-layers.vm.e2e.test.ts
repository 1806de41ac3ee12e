/**
 * Layers as AKS's guests have them: archives with an index. Our guest's kernel has no such file system, so a child of the agent's serves it;
 * on the host mount.tar does.
 */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { containerdPrograms } from "../harness/containerd-versions.ts";
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

const SET_UP_MS = 240_000;
const MAX_BYTES = 1 << 20;

let prepared: string;
let containerd: PrivateContainerd;
let snapshotter: LayerSnapshotter;
let image: LayeredImage;
let ctr: Ctr;
let env: NodeJS.ProcessEnv;

/** A shell command that puts mount.tar where mount(8) looks for it, for who runs it in a mount namespace of its own. */
function withMountTar(): string {
  return `mount -t overlay overlay -o lowerdir=${prepared}/helper:/usr/sbin /usr/sbin`;
}

/** ctr as it is run there: it mounts snapshots itself, to look for users. @returns its directory. */
function wrappedCtr(binaries: string): string {
  const wrapped = join(prepared, "programs");
  mkdirSync(wrapped);
  const inside = `${withMountTar()}; exec ${binaries}/ctr "$@"`;
  writeFileSync(join(wrapped, "ctr"), `#!/bin/sh\nexec unshare --mount sh -ec '${inside}' ctr "$@"\n`);
  chmodSync(join(wrapped, "ctr"), 0o755);
  return wrapped;
}

beforeAll(async () => {
  prepared = mkdtempSync("/tmp/kata-tar-layers-");
  image = await layeredImage(prepared);
  mkdirSync(join(prepared, "helper"));
  symlinkSync(join(BUILT_PROGRAMS, "mount.tar"), join(prepared, "helper/mount.tar"));
  const helper = await fuseMountHelper();
  env = { ...process.env, PATH: [BUILT_PROGRAMS, helper, process.env.PATH, "/usr/sbin:/sbin"].join(":") };
  const binaries = await containerdPrograms("sid");
  containerd = await PrivateContainerd.start({
    ...(binaries === undefined ? {} : { binaries }),
    searchFirst: [BUILT_PROGRAMS, helper],
    privateMounts: withMountTar(),
    env: (directory) => ({ KATA_CONF_FILE: writeKataConfiguration(directory, "configuration") }),
    proxySnapshotters: (directory) => ({ [LAYER_SNAPSHOTTER]: layerSnapshotterSocket(directory) }),
  });
  const { directory, socket } = containerd.address;
  snapshotter = await LayerSnapshotter.start(directory, socket, "tar");
  const wrapped = wrappedCtr(binaries ?? "/usr/bin");
  ctr = new Ctr({ ...containerd.address, binaries: wrapped, snapshotter: LAYER_SNAPSHOTTER });
  await awaitLayerSnapshotter(ctr);
  await ctr.must(["images", "import", "--local", "--snapshotter", LAYER_SNAPSHOTTER, image.archive]);
}, SET_UP_MS);
afterAll(async () => {
  await containerd?.[Symbol.asyncDispose]();
  await snapshotter?.[Symbol.asyncDispose]();
  rmSync(prepared, { recursive: true, force: true });
});

const run = (script: string, id: string, runtime = KATA_RUNTIME) =>
  ctr.runContainer(
    { id: `${containerd.address.tag}-${id}`, image: image.name, runtime, command: ["sh", "-c", script] },
    { env },
  );

test("mount.tar is smaller than a megabyte", () => {
  expect(statSync(join(BUILT_PROGRAMS, "mount.tar")).size).toBeLessThanOrEqual(MAX_BYTES);
});

test("a container in a guest sees them as one file system that it can write to", async () => {
  // This kind of layer keeps no set-id bits.
  expect(await run(LAYERS_SCRIPT, "guest")).toMatchObject({
    status: 0,
    stdout: LAYERS_SAY.replace("4750", "750"),
    stderr: "",
  });
});

test("so does one on the host, which cannot write", async () => {
  const result = await run(
    "cat /data/changed /data/link; ls /data/opaque; echo x > /data/kept",
    "host",
    "io.containerd.runc.v2",
  );
  expect(result.stdout).toBe("second\nkept\nafter\n");
  expect(result.stderr).toMatch(/Read-only file system/);
  // Nobody serves what nobody has mounted.
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toMatch(/fuse\.tar.*kata-tar-layers/);
});
