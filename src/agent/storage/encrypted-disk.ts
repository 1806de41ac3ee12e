/**
 * A disk whose content only this guest can read, with a key that is nowhere else: the guest's confidential data hub encrypts it, makes a
 * file system on it and mounts it.
 * Sources: upstream's agent (driver option `encryption_key=ephemeral`, the hub's names of what it is told); the guest components, secure
 * mount of block devices; dm-ioctl(4).
 */
import { KataError } from "../../kata-error.ts";
import { chmod, readTextFileIfExists, stat } from "../../sys/files.ts";
import { readMountInfo } from "../../sys/mountinfo.ts";
import { DataHub } from "../confidential/data-hub.ts";
import {
  checkMountPoint,
  EPHEMERAL_KEY,
  makeMountPoint,
  type Storage,
  type StorageContext,
  unmount,
} from "./storage.ts";
import { removeMappedDevice } from "./verity-device.ts";

const VOLUME_TYPE = "block-device";
const MAPPED = "/dev/mapper/";

/** Mounts the disk at `node`. @returns how to take it back. @throws KataError `unimplemented` in a guest without a hub. */
export async function mountEncrypted(
  { mountPoint, fstype }: Storage,
  node: string,
  { dataHub }: StorageContext,
): Promise<() => void> {
  const hub = new DataHub(dataHub);
  if (!hub.isThere) {
    throw new KataError("unimplemented", {
      operation: "provide disk",
      object: `with ${EPHEMERAL_KEY}`,
      hint: "this guest has no confidential data hub, and the agent itself encrypts no disks",
    });
  }
  checkMountPoint(mountPoint);
  makeMountPoint(mountPoint, true);
  const { deviceMajor, deviceMinor } = stat(node);
  const options = new Map([
    ["deviceId", `${deviceMajor}:${deviceMinor}`],
    ["sourceType", "empty"],
    ["targetType", "fileSystem"],
    ["filesystemType", fstype],
    ["encryptionType", "luks2"],
    ["dataIntegrity", "true"],
  ]);
  await hub.secureMount(VOLUME_TYPE, options, mountPoint);
  // As an empty volume is, for whatever user the pod's containers have.
  chmod(mountPoint, 0o777);
  return () => {
    const mapped = mappedDeviceAt(mountPoint);
    unmount(mountPoint);
    // The hub has no call for it; the key goes with it.
    if (mapped !== undefined) removeMappedDevice(mapped);
  };
}

/** The name of the mapped device that is mounted at `path`, if it is one. */
function mappedDeviceAt(path: string): string | undefined {
  const source = readMountInfo().findLast(({ mountPoint }) => mountPoint === path)?.source ?? "";
  if (source.startsWith(MAPPED)) return source.slice(MAPPED.length);
  const [, number] = /^\/dev\/(dm-\d+)$/.exec(source) ?? [];
  return number === undefined ? undefined : readTextFileIfExists(`/sys/block/${number}/dm/name`)?.trim();
}
