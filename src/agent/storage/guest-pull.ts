/**
 * A container's image that the guest pulls by itself, so that the host neither sees nor chooses it: by the guest's confidential data
 * hub where there is one, which may have a user's passwords and check signatures, otherwise by the agent.
 * Source: upstream's agent, driver `image_guest_pull`: the source is the image's name, the mount point the container's root.
 */

import { hasCode } from "../../kata-error.ts";
import { mkdirAll, removeIfEmpty, removeTree } from "../../sys/files.ts";
import { DataHub } from "../confidential/data-hub.ts";
import { mountStorage, type Storage, type StorageContext, type StorageDriver } from "./storage.ts";

const IMAGES = "/run/kata-containers/images";
let pulled = 0;

export const guestPull: StorageDriver = async (storage, context) => {
  const hub = new DataHub(context.dataHub);
  if (!hub.isThere) return await pullByAgent(storage, context);
  try {
    return await pullByHub(hub, storage);
  } catch (error) {
    // A hub that was built without it has the owner's secrets all the same.
    if (!hasCode(error, "unimplemented")) throw error;
    return await pullByAgent(storage, context);
  }
};

async function pullByHub(hub: DataHub, storage: Storage): Promise<() => void> {
  const bundle = `${IMAGES}/${++pulled}`;
  mkdirAll(bundle, 0o700);
  try {
    await hub.pullImage(storage.source, bundle);
    const bind = { ...storage, fstype: "bind", options: ["rbind"] };
    const undo = mountStorage(bind, `${bundle}/rootfs`);
    return () => {
      undo();
      removeMountPoint(storage.mountPoint);
      removeTree(bundle);
    };
  } catch (error) {
    removeTree(bundle);
    throw error;
  }
}

/** The image's files are shared by all containers that are made of it; each has its changes in a layer of its own. */
async function pullByAgent(storage: Storage, context: StorageContext): Promise<() => void> {
  const images = await context.images();
  const image = await images.use(storage.source);
  try {
    const [upper, work] = [`${image.own}/upper`, `${image.own}/work`];
    for (const directory of [upper, work]) mkdirAll(directory, 0o755);
    const options = [`lowerdir=${image.root}`, `upperdir=${upper}`, `workdir=${work}`];
    const undo = mountStorage({ ...storage, fstype: "overlay", options }, "overlay");
    return () => {
      undo();
      removeMountPoint(storage.mountPoint);
      image.release();
    };
  } catch (error) {
    image.release();
    throw error;
  }
}

/** The container's directory goes with its root, unless there is more in it. */
function removeMountPoint(path: string): void {
  if (removeIfEmpty(path)) removeIfEmpty(path.replace(/\/[^/]*$/, ""));
}
