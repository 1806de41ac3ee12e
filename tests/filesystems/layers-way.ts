/**
 * The way of images whose layers are disks: each layer an EROFS that the guest verifies, an overlay over them. What the container
 * writes is its own, above the layers.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { containerdPrograms } from "../harness/containerd-versions.ts";
import { Ctr } from "../harness/ctr.ts";
import { fuseMountHelper } from "../harness/fuse-mount-helper.ts";
import { BUILT_PROGRAMS } from "../harness/kata-configuration.ts";
import { startKataContainerd } from "../harness/kata-containerd.ts";
import {
  awaitLayerSnapshotter,
  LAYER_SNAPSHOTTER,
  LayerSnapshotter,
  layerSnapshotterSocket,
} from "../harness/layer-snapshotter.ts";
import { layeredImage } from "../harness/layered-image.ts";

/** What runs a container of such an image. */
export interface LayeredRunner {
  readonly ctr: Ctr;
  readonly image: string;
  /** Prefix of containers' names. */
  readonly tag: string;
  /** ctr mounts the snapshot itself, to look for users, by helpers of this PATH. */
  readonly env: NodeJS.ProcessEnv;
}

/** Runs `use` with a containerd that has the snapshotter of layers, and an image of three. */
export async function withLayers<T>(use: (runner: LayeredRunner) => Promise<T>): Promise<T> {
  const scratch = join(BUILT_PROGRAMS, "../scratch");
  mkdirSync(scratch, { recursive: true });
  const prepared = mkdtempSync(join(scratch, "layers-"));
  try {
    const image = await layeredImage(prepared);
    const helper = await fuseMountHelper();
    // Older ones tell a snapshotter too little of an image's layers to be asked for each.
    const binaries = await containerdPrograms("sid");
    await using containerd = await startKataContainerd({
      ...(binaries === undefined ? {} : { binaries }),
      searchFirst: [helper],
      proxySnapshotters: (directory) => ({ [LAYER_SNAPSHOTTER]: layerSnapshotterSocket(directory) }),
    });
    const { address } = containerd;
    await using _snapshotter = await LayerSnapshotter.start(address.directory, address.socket);
    const ctr = new Ctr({ ...address, snapshotter: LAYER_SNAPSHOTTER });
    await awaitLayerSnapshotter(ctr);
    await ctr.must(["images", "import", "--local", "--snapshotter", LAYER_SNAPSHOTTER, image.archive]);
    const PATH = [BUILT_PROGRAMS, helper, process.env.PATH, "/usr/sbin:/sbin"].join(":");
    return await use({ ctr, image: image.name, tag: address.tag, env: { ...process.env, PATH } });
  } finally {
    rmSync(prepared, { recursive: true, force: true });
  }
}
