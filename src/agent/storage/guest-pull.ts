/**
 * A container's image that the guest pulls by itself, so that the host neither sees nor chooses it.
 * Source: upstream's agent, driver `image_guest_pull`: the source is the image's name, the mount point the container's root.
 */

import { mkdirAll, removeTree } from "../../sys/files.ts";
import { DataHub } from "../confidential/data-hub.ts";
import { mountStorage, type StorageDriver } from "./storage.ts";

export const GUEST_PULL_DRIVER = "image_guest_pull";

const IMAGES = "/run/kata-containers/images";
let pulled = 0;

export const guestPull: StorageDriver = async (storage, { dataHub }) => {
  const bundle = `${IMAGES}/${++pulled}`;
  mkdirAll(bundle, 0o700);
  try {
    await new DataHub(dataHub).pullImage(storage.source, bundle);
    const bind = { ...storage, fstype: "bind", options: ["rbind"] };
    const undo = mountStorage(bind, `${bundle}/rootfs`);
    return () => {
      undo();
      removeTree(bundle);
    };
  } catch (error) {
    removeTree(bundle);
    throw error;
  }
};
