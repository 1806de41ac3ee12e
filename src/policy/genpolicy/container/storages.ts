/** What the agent mounts in the guest before it makes a container: volumes and layers. */
import { basename } from "node:path";
import { chainIds, layerId } from "../../layers/chain-id.ts";
import type { Image } from "../image/image.ts";
import type { Node } from "../json.ts";
import { asExpression, type Pod, type PodContainer } from "../kubernetes/pod.ts";
import type { SpecPolicy, StoragePolicy } from "../policy-data.ts";
import type { Settings, VolumeKind } from "../settings.ts";

/** How the cluster makes an empty directory. */
export function emptyDirKind(volume: Node, settings: Settings): VolumeKind {
  const { volumes } = settings;
  if (volume.at("emptyDir", "medium").text() === "Memory") return volumes.emptyDirMemory;
  switch (settings.emptyDir) {
    case "block-encrypted":
      return volumes.emptyDirEncrypted;
    case "block-plain":
      return volumes.emptyDirPlain;
    case "shared-fs":
      return volumes.emptyDir;
  }
}

export function volumeStorages(pod: Pod, container: PodContainer, settings: Settings): StoragePolicy[] {
  return container.volumeMounts.flatMap((mount): StoragePolicy[] => {
    const volume = pod.volumes.find((candidate) => candidate.at("name").text() === mount.volume);
    if (volume === undefined) return [];
    if (volume.at("emptyDir").isPresent || volume.entries().length === 1) {
      // The runtime finds a part of a volume in one that it has mounted already.
      const isPart = mount.subPath !== undefined || mount.subPathExpr !== undefined;
      return isPart ? [] : [emptyDirStorage(volume, pod.security.fsGroup, settings)];
    }
    if (settings.configMapStorages && (volume.at("configMap").isPresent || volume.at("secret").isPresent)) {
      return [configMapStorage(mount.mountPath, settings)];
    }
    return [];
  });
}

function emptyDirStorage(volume: Node, fsGroup: number | undefined, settings: Settings): StoragePolicy {
  const kind = emptyDirKind(volume, settings);
  const hasGroup = fsGroup !== undefined && fsGroup !== 0;
  const isBlock = kind.mountPoint.includes("$(b64_device_id)");
  // A block device gets its group from the agent, a directory of the guest by a mount option.
  const options = hasGroup && !isBlock ? [...kind.options, `fsgid=${fsGroup}`] : kind.options;
  return {
    driver: kind.driver,
    driver_options: kind.driverOptions,
    source: kind.source,
    fstype: kind.fstype,
    options,
    mount_point: isBlock
      ? kind.mountPoint
      : `${kind.mountPoint}${asExpression(volume.at("name").requiredText())}$`,
    fs_group: hasGroup && isBlock ? { group_id: fsGroup } : null,
    shared: kind.shared,
  };
}

function configMapStorage(mountPath: string, settings: Settings): StoragePolicy {
  const kind = settings.volumes.configMap;
  const name = asExpression(basename(mountPath));
  return {
    driver: kind.driver,
    driver_options: [],
    source: `${kind.mountSource}${name}$`,
    fstype: kind.fstype,
    options: kind.options,
    mount_point: `${kind.mountPoint}${name}$`,
    fs_group: null,
    shared: kind.shared,
  };
}

/** Where the runtime has the guest mount the disk for changes, and the overlay's option that says that it is used. */
const CHANGES_DISK = "/run/kata-containers/sandbox/changes";
const CHANGES_ON_DISK = "io.katacontainers.fs-opt.changes-on-disk";

type RootPolicy = SpecPolicy["Root"];

/**
 * The layers of the image as read-only disks, and the overlay of them that is the container's root; none if the policy binds none.
 * What the container may write goes into the guest's memory, or to a disk, and the overlay then has a third option that says so.
 *
 * Source: Microsoft's fork of genpolicy 3.2.0.azl5.
 */
export function layerStorages(
  image: Image,
  { Path: rootPath, Readonly: isReadonly }: RootPolicy,
  { layerFormat: format, layerChanges, volumes }: Settings,
): StoragePolicy[] {
  if (format === undefined) return [];
  const none = { driver_options: [], fs_group: null, shared: false };
  const ids = chainIds(image.config.diffIds).map(layerId).reverse();
  const hashes = [...image.layerHashes].reverse();
  const layers = ids.map((_, index) => ({
    ...none,
    driver: "blk",
    source: "",
    fstype: format,
    options: [`$(hash${index})`],
    mount_point: `$(layer${index})`,
  }));
  const overlay = {
    ...none,
    driver: "overlayfs",
    source: "",
    fstype: "fuse3.kata-overlay",
    options: [ids.join(":"), hashes.join(":")],
    mount_point: rootPath,
  };
  if (layerChanges === "memory" || isReadonly) return [...layers, overlay];
  const kind = layerChanges === "block-plain" ? volumes.emptyDirPlain : volumes.emptyDirEncrypted;
  const disk = {
    driver: kind.driver,
    driver_options: kind.driverOptions,
    source: kind.source,
    fstype: kind.fstype,
    options: kind.options,
    mount_point: CHANGES_DISK,
    fs_group: null,
    shared: kind.shared,
  };
  return [...layers, disk, { ...overlay, options: [...overlay.options, CHANGES_ON_DISK] }];
}
