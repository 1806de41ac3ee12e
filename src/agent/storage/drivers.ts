/** The kinds of storage that the agent can provide: one entry a driver. Source: upstream's agent protocol. */
import { hasErrno, KataError } from "../../kata-error.ts";
import { chmod, mkdirAll, readTextFile, stat, statIfExists } from "../../sys/files.ts";
import { awaitDevice } from "../device/await-device.ts";
import { capacityOf, namedBlockNode, SCSI_MODULES, scsiBlockNode } from "../device/block-device.ts";
import { findDisk } from "./find-disk.ts";
import { reserveHugePages } from "./huge-pages.ts";
import { layerRootHash, layerVerity } from "./layer-verity.ts";
import { isLayeredOverlay, mountLayeredOverlay } from "./layered-overlay.ts";
import { MULTI_LAYER_DRIVER, multiLayer } from "./multi-layer.ts";
import {
  checkMountPoint,
  chgrp,
  EPHEMERAL_KEY,
  MADE_FOR_POD,
  makeMountPoint,
  mountStorage,
  optionValue,
  type Storage,
  type StorageContext,
  type StorageDriver,
  unmount,
} from "./storage.ts";
import { bindSubPath } from "./sub-path.ts";
import { openVerityDevice, parseVerityInfo, type VerityInfo } from "./verity-device.ts";

/** What few pods use is read when one does: until then it takes none of a guest's memory. */
const guestPull: StorageDriver = async (storage, context) =>
  (await import("./guest-pull.ts")).guestPull(storage, context);
const watchableBind: StorageDriver = async (storage, context) =>
  (await import("./watchable-bind.ts")).watchableBind(storage, context);

/** A driver that mounts the disk which `node` finds. */
function disk(node: (source: string, timeoutMs: number, bytes?: bigint) => Promise<string>): StorageDriver {
  return async (storage, context) => {
    const isEncrypted = storage.driverOptions.includes(EPHEMERAL_KEY);
    for (const option of isEncrypted ? [] : storage.driverOptions) {
      // Whoever asks for these counts on them: without them a disk is neither secret nor what it was made as.
      if (/^(encryption_key|confidential|ephemeral|source_type)=/.test(option)) {
        throw new KataError("unimplemented", {
          operation: "provide disk",
          object: `with ${option.split("=")[0]}`,
          hint: "this agent encrypts no disks",
        });
      }
    }
    const found = await node(storage.source, context.hotplugTimeoutMs, capacityOf(storage.driverOptions));
    if (isEncrypted) {
      const { mountEncrypted } = await import("./encrypted-disk.ts");
      return await mountEncrypted(storage, found, context);
    }
    const verity = optionValue(storage.driverOptions, "verity_info");
    const rootHash = layerRootHash(storage.options);
    if (rootHash !== undefined && verity !== undefined) {
      throw new KataError("invalid-argument", { operation: "verify disk", object: "two root hashes" });
    }
    const own = { ...storage, options: storage.options.filter((option) => !option.startsWith(FOR_AGENT)) };
    if (verity !== undefined) return await mountVerified(own, found, parseVerityInfo(verity), context);
    if (rootHash !== undefined) return await mountVerified(own, found, layerVerity(found, rootHash), context);
    if (storage.driverOptions.includes(MADE_FOR_POD)) return mountMadeForPod(own, found);
    const undo = mountStorage(own, found);
    const mode = optionValue(storage.driverOptions, "root-mode");
    if (mode !== undefined) setMode(storage.mountPoint, mode, undo);
    return undo;
  };
}

/** Options that are not the kernel's. */
const FOR_AGENT = "io.katacontainers.";

/** The host has made the file system. What is removed from it takes no more room there. */
function mountMadeForPod(storage: Storage, node: string): () => void {
  const undo = mountStorage({ ...storage, options: [...storage.options, "discard"] }, node);
  // As an empty volume is, for whatever user the pod's containers have.
  setMode(storage.mountPoint, "777", undo);
  return undo;
}

let verified = 0;

/** Mounts a disk read-only, each block of which the kernel checks when it is read. */
async function mountVerified(
  storage: Storage,
  node: string,
  info: VerityInfo,
  context: StorageContext,
): Promise<() => void> {
  context.loadModule?.("dm_verity");
  const device = openVerityDevice(`kata-verity${++verified}`, node, info);
  try {
    const release = await mountReadOnly(storage, device.node, context);
    return () => {
      release();
      device.remove();
    };
  } catch (error) {
    device.remove();
    throw error;
  }
}

/** A layer that is an archive is mounted by the kernel of AKS's guests, and by a child of the agent's elsewhere. */
async function mountReadOnly(storage: Storage, node: string, context: StorageContext): Promise<() => void> {
  if (storage.fstype !== "tar" || hasFilesystem("tar")) {
    return mountStorage({ ...storage, options: [...storage.options, "ro"] }, node);
  }
  context.loadModule?.("fuse");
  checkMountPoint(storage.mountPoint);
  makeMountPoint(storage.mountPoint, true);
  const { mountTar } = await import("../../tarfs/mount-tar.ts");
  mountTar(node, storage.mountPoint, 0, "data");
  return () => unmount(storage.mountPoint);
}

function hasFilesystem(name: string): boolean {
  return readTextFile("/proc/filesystems")
    .split("\n")
    .some((line) => line.split("\t")[1] === name);
}

/** Sets the permissions of a new file system's root directory. */
function setMode(path: string, mode: string, undo: () => void): void {
  try {
    chmod(path, octal("root-mode", mode));
  } catch (error) {
    undo();
    throw error;
  }
}

function octal(name: string, text: string): number {
  if (/^[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8);
  throw new KataError("invalid-argument", { operation: "provide storage", object: `${name}=${text}` });
}

const scsiDisk = disk(scsiBlockNode);

/** A driver that mounts what the storage names, as it is. */
const plain: StorageDriver = async (storage) => mountStorage(storage, storage.source);

/** The host's share. A clone's is plugged in while it is told of it: the kernel knows no such tag until then. */
const virtioFs: StorageDriver = (storage, { hotplugTimeoutMs }) =>
  awaitDevice(`virtio-fs ${storage.source}`, hotplugTimeoutMs, () => {
    try {
      return mountStorage({ ...storage, options: [...storage.options, "nodev"] }, storage.source);
    } catch (error) {
      if (hasErrno(error, "EINVAL")) return undefined;
      throw error;
    }
  });

/** tmpfs or huge pages; `fsgid=` gives it a group. */
const ephemeral: StorageDriver = async (storage) => {
  const gid = groupOption(storage);
  const options = storage.options.filter((option) => !option.startsWith("fsgid="));
  const release = storage.fstype === "hugetlbfs" ? reserveHugePages(options) : undefined;
  try {
    const undo = mountStorage({ ...storage, options }, storage.source || storage.fstype);
    if (gid !== undefined) giveToGroup(storage.mountPoint, gid);
    return () => {
      undo();
      release?.();
    };
  } catch (error) {
    release?.();
    throw error;
  }
};

/** A directory in the guest's own file system, with `mode=` and `fsgid=`. */
const local: StorageDriver = async (storage) => {
  checkMountPoint(storage.mountPoint);
  const mode = optionValue(storage.options, "mode");
  const permissions = mode === undefined ? undefined : octal("mode", mode);
  const isNew = statIfExists(storage.mountPoint) === undefined;
  mkdirAll(storage.mountPoint);
  // mkdir's mode is subject to the umask; what the pod's containers have made of it since stays.
  if (permissions !== undefined && isNew) chmod(storage.mountPoint, permissions);
  const gid = groupOption(storage);
  if (gid !== undefined) giveToGroup(storage.mountPoint, gid);
  // It is below the sandbox's own directory and goes with it.
  return () => undefined;
};

/** Layers of an image below a directory that takes the changes. */
const overlay: StorageDriver = async (storage) => {
  if (isLayeredOverlay(storage)) return mountLayeredOverlay(storage);
  for (const name of ["upperdir", "workdir"]) {
    const directory = optionValue(storage.options, name);
    if (directory !== undefined) mkdirAll(directory);
  }
  const options = storage.options.filter((option) => !option.startsWith(FOR_AGENT));
  return mountStorage({ ...storage, fstype: "overlay", options }, storage.source || "overlay");
};

export const STORAGE_DRIVERS: Readonly<Record<string, StorageDriver>> = {
  image_guest_pull: guestPull,
  "9p": plain,
  bind: async (storage) =>
    bindSubPath(storage) ?? mountStorage({ ...storage, fstype: "bind" }, storage.source),
  blk: disk(findDisk),
  ephemeral,
  [MULTI_LAYER_DRIVER]: multiLayer,
  local,
  mmioblk: disk(namedBlockNode),
  nvdimm: disk(namedBlockNode),
  overlayfs: overlay,
  scsi: async (storage, context) => {
    for (const name of SCSI_MODULES) context.loadModule?.(name);
    return await scsiDisk(storage, context);
  },
  "virtio-fs": virtioFs,
  "watchable-bind": watchableBind,
};

function groupOption(storage: Storage): number | undefined {
  const text = optionValue(storage.options, "fsgid");
  if (text === undefined) return undefined;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new KataError("invalid-argument", { operation: "provide storage", object: `fsgid=${text}` });
}

/** The group may do everything, and new entries get it, too. */
function giveToGroup(path: string, gid: number): void {
  chgrp(path, gid);
  chmod(path, (stat(path).mode & 0o7777) | 0o2770);
}
