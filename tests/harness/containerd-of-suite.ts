/**
 * Runs around the tests of one version of containerd: an instance with Kubernetes' interface on, and the images of the tests.
 *
 * `KATA_TEST_CONTAINERD_SUITE` says which: `trixie`, `sid`, or `system` for the one in PATH.
 */
import type { TestProject } from "vitest/node";
import { removeAbandonedInstances } from "./abandoned-containerd.ts";
import {
  CONTAINERD_SUITES,
  type ContainerdSuite,
  containerdPrograms,
  containerdVersion,
} from "./containerd-versions.ts";
import { type CriRuntime, criConfiguration, importForKubernetes, KUBERNETES_NAMESPACE } from "./cri.ts";
import { fuseMountHelper } from "./fuse-mount-helper.ts";
import { busyboxImage, type Image, importImage, PAUSE_IMAGE, pauseImage } from "./images.ts";
import { type Configuration, GUEST_INITRD, GUEST_KERNEL } from "./kata-configuration.ts";
import { startKataContainerd } from "./kata-containerd.ts";
import {
  awaitLayerSnapshotter,
  LAYER_SNAPSHOTTER,
  LayerSnapshotter,
  layerSnapshotterSocket,
} from "./layer-snapshotter.ts";
import { INSTANCE_PREFIX, type PrivateContainerd } from "./private-containerd.ts";
import { guestImageName, isRemote, startRemoteHypervisor } from "./remote-hypervisor.ts";

declare module "vitest" {
  interface ProvidedContext {
    containerdVersion: string;
  }
}

export interface SuiteInstance extends AsyncDisposable {
  readonly containerd: PrivateContainerd;
  /** Image with busybox. */
  readonly image: string;
  readonly version: string;
}

/**
 * Starts an instance of the version that the environment names, with the images of the tests.
 *
 * @param changes to the configuration of its shims.
 * @param layered an image besides; if there is one, layers of images are verified disks.
 */
export async function startContainerdOfSuite(
  changes: Configuration = {},
  layered?: Image,
): Promise<SuiteInstance> {
  const suite = suiteOf(process.env.KATA_TEST_CONTAINERD_SUITE ?? "sid");
  const binaries = await containerdPrograms(suite);
  const version = await containerdVersion(binaries);
  // 1.7 asks for it to be said twice.
  process.env.ENABLE_CRI_SANDBOXES = "1";
  const own =
    layered === undefined
      ? {}
      : { searchFirst: [await fuseMountHelper()], proxySnapshotters: PROXY_SNAPSHOTTERS };
  const snapshotter = layered === undefined ? {} : { snapshotter: LAYER_SNAPSHOTTER };
  const containerd = await startKataContainerd(
    {
      ...(binaries === undefined ? {} : { binaries }),
      ...own,
      cri: criConfiguration(runtimesOf(version), { pause: PAUSE_IMAGE, version, ...snapshotter }),
    },
    changes,
  );
  let layers: LayerSnapshotter | undefined;
  try {
    if (layered !== undefined) {
      const { directory, socket } = containerd.address;
      layers = await LayerSnapshotter.start(directory, socket);
      await awaitLayerSnapshotter(containerd.ctr);
      const local = version.startsWith("1.") ? [] : ["--local"];
      for (const { archive } of [layered, await pauseImage()]) {
        const args = ["images", "import", ...local, "--snapshotter", LAYER_SNAPSHOTTER, archive];
        await containerd.ctr.in(KUBERNETES_NAMESPACE).must(args);
      }
      const held = layers;
      return {
        containerd,
        image: layered.name,
        version,
        [Symbol.asyncDispose]: async () => {
          await containerd[Symbol.asyncDispose]();
          await held[Symbol.asyncDispose]();
        },
      };
    }
    const image = await busyboxImage();
    await importImage(containerd.ctr, image);
    for (const each of [image, await pauseImage()]) await importForKubernetes(containerd.ctr, each);
    const pulled = guestImageName(image.name);
    if (pulled !== undefined) {
      for (const ctr of [containerd.ctr, containerd.ctr.in(KUBERNETES_NAMESPACE)]) {
        await ctr.must(["images", "tag", image.name, pulled]);
      }
    }
    return {
      containerd,
      image: pulled ?? image.name,
      version,
      [Symbol.asyncDispose]: async () => await containerd[Symbol.asyncDispose](),
    };
  } catch (error) {
    await containerd[Symbol.asyncDispose]();
    await layers?.[Symbol.asyncDispose]();
    throw error;
  }
}

const PROXY_SNAPSHOTTERS = (directory: string) => ({
  [LAYER_SNAPSHOTTER]: layerSnapshotterSocket(directory),
});

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  await removeAbandonedInstances(INSTANCE_PREFIX);
  const guest = { kernel: GUEST_KERNEL, initrd: GUEST_INITRD };
  const remote = isRemote() ? await startRemoteHypervisor(guest) : undefined;
  const instance = await startContainerdOfSuite();
  project.provide("instance", instance.containerd.address);
  project.provide("busybox", instance.image);
  project.provide("containerdVersion", instance.version);
  return async () => {
    await instance[Symbol.asyncDispose]();
    await remote?.[Symbol.asyncDispose]();
  };
}

function suiteOf(text: string): ContainerdSuite {
  const suite = CONTAINERD_SUITES.find((name) => name === text);
  if (suite === undefined) throw new Error(`${text}: it is one of ${CONTAINERD_SUITES.join(", ")}`);
  return suite;
}

/** Runtime handlers by name. What a version does not know is left out, and its tests are not run. */
function runtimesOf(version: string): Record<string, CriRuntime> {
  return {
    paused: {},
    ...(version.startsWith("1.6.") ? {} : { sandboxed: { sandboxer: "shim" } }),
    ...(version.startsWith("1.") ? {} : { streamed: { sandboxer: "shim", ioType: "streaming" } }),
  };
}
