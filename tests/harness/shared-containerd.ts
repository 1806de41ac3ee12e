/**
 * Runs around all files of the end-to-end suite: one containerd with the busybox image for all of them.
 *
 * `KATA_TEST_CONTAINERD` names a directory with another containerd's binaries than the system's.
 */
import type { TestProject } from "vitest/node";
import { removeAbandonedInstances } from "./abandoned-containerd.ts";
import { busyboxImage, importImage } from "./images.ts";
import { GUEST_INITRD, GUEST_KERNEL } from "./kata-configuration.ts";
import { startKataContainerd } from "./kata-containerd.ts";
import { INSTANCE_PREFIX, type InstanceAddress } from "./private-containerd.ts";
import { isRemote, startRemoteHypervisor } from "./remote-hypervisor.ts";

declare module "vitest" {
  interface ProvidedContext {
    instance: InstanceAddress;
    busybox: string;
  }
}

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  await removeAbandonedInstances(INSTANCE_PREFIX);
  const guest = { kernel: GUEST_KERNEL, initrd: GUEST_INITRD };
  const remote = isRemote() ? await startRemoteHypervisor(guest) : undefined;
  const binaries = process.env.KATA_TEST_CONTAINERD;
  const containerd = await startKataContainerd(binaries === undefined ? {} : { binaries });
  try {
    const image = await busyboxImage();
    await importImage(containerd.ctr, image);
    project.provide("instance", containerd.address);
    project.provide("busybox", image.name);
  } catch (error) {
    await containerd[Symbol.asyncDispose]();
    await remote?.[Symbol.asyncDispose]();
    throw error;
  }
  return async () => {
    await containerd[Symbol.asyncDispose]();
    await remote?.[Symbol.asyncDispose]();
  };
}
