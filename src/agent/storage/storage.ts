/**
 * File systems that the host asks for before containers use them: what is asked for, and the one way to mount it.
 * Source: upstream's agent protocol, message Storage.
 */
import { KataError } from "../../kata-error.ts";
import { parseMountOptions } from "../../oci/mount-options.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  mkdirAll,
  S_IFDIR,
  S_IFMT,
  statIfExists,
  statx,
  writeFile,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { mount as mountAt } from "../../sys/mount.ts";
import { AT_RECURSIVE, MOUNT_ATTR_RDONLY, mountSetattr, moveMountTo } from "../../sys/new-mount-api.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import type { DataHubTimeouts } from "../confidential/data-hub.ts";
import { newMount } from "../container/mounts.ts";
import { planMountOptions } from "../container/plan-mounts.ts";
import type { ImageStore } from "../image/image-store.ts";

export interface Storage {
  readonly driver: string;
  readonly driverOptions: readonly string[];
  readonly source: string;
  readonly fstype: string;
  readonly options: readonly string[];
  readonly mountPoint: string;
  readonly group: StorageGroup | undefined;
  /** The parts of a file system that is put together from several disks. */
  readonly layers?: readonly Storage[];
}

/** The group that a volume is to belong to, with all that is in it. */
export interface StorageGroup {
  readonly gid: number;
  /** Whether to look at the volume's root directory only, and leave the rest alone if that is right. */
  readonly onRootMismatch: boolean;
}

/** The option of a disk's driver that asks for one which is encrypted with a key that nobody keeps. */
export const EPHEMERAL_KEY = "encryption_key=ephemeral";

/** The driver's option of a disk that is made for the pod and empty at first, encrypted or not. */
export const MADE_FOR_POD = "create_filesystem";

export interface StorageContext {
  /** Longest wait for a plugged-in device, ms. */
  readonly hotplugTimeoutMs: number;
  readonly dataHub: DataHubTimeouts;
  /** Images that the agent pulls itself. */
  readonly images: () => Promise<ImageStore>;
  /** Loads a module of the guest's kernel; undefined natively. */
  readonly loadModule?: ((name: string) => void) | undefined;
  /** Tells of what goes wrong while nobody waits for it. */
  readonly warn: (message: string, fields: Readonly<Record<string, string>>) => void;
}

/** Mounts or makes a storage. @returns how to undo it. */
export type StorageDriver = (storage: Storage, context: StorageContext) => Promise<() => void>;

const UMOUNT_NOFOLLOW = 8;
const MNT_DETACH = 2;

/** The value of `name=value` among `options`. */
export function optionValue(options: readonly string[], name: string): string | undefined {
  return options.find((option) => option.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** @throws KataError `invalid-argument` unless `path` is absolute and holds no `..`. */
export function checkMountPoint(path: string): void {
  if (path.startsWith("/") && path !== "/" && !path.split("/").includes("..") && !path.includes("\0")) return;
  throw new KataError("invalid-argument", {
    operation: "mount storage at",
    object: JSON.stringify(path.slice(0, 256)),
    hint: "it is an absolute path without '..'",
  });
}

/**
 * Mounts `source`, a device, tag or directory, as `storage` says.
 *
 * @returns how to unmount it.
 */
export function mountStorage(storage: Storage, source: string): () => void {
  checkMountPoint(storage.mountPoint);
  const isBind =
    storage.fstype === "bind" || storage.options.includes("bind") || storage.options.includes("rbind");
  const plan = planMountOptions(isBind ? "bind" : storage.fstype, source, storage.options);
  // A storage is the pod's; ids are mapped for a container, by the mount that it sees.
  if (plan.source.kind === "cgroup" || plan.idMap !== undefined) {
    throw new KataError("invalid-argument", { operation: "mount storage", object: storage.fstype });
  }
  // A disk that the host gives read-only can only be mounted with a read-only superblock.
  const readOnly = plan.source.kind === "filesystem" && (plan.attributes.set & MOUNT_ATTR_RDONLY) !== 0;
  if (plan.source.kind === "filesystem" && plan.source.parameters.some(isLong)) {
    return mountByPath(storage, plan.source.type, source);
  }
  using mount = newMount(
    readOnly && plan.source.kind === "filesystem"
      ? { ...plan.source, parameters: [...plan.source.parameters, ["ro"]] }
      : plan.source,
  );
  const { set, clear } = plan.attributes;
  if (set !== 0 || clear !== 0) mountSetattr(mount.fd, "", AT_EMPTY_PATH, plan.attributes);
  if (plan.recursiveAttributes !== undefined) {
    mountSetattr(mount.fd, "", AT_EMPTY_PATH | AT_RECURSIVE, plan.recursiveAttributes);
  }
  makeMountPoint(storage.mountPoint, (statx(mount.fd, "", AT_EMPTY_PATH).mode & S_IFMT) === S_IFDIR);
  moveMountTo(mount.fd, storage.mountPoint);
  for (const { type, recursive } of plan.propagation) {
    mountSetattr(mount.fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), { propagation: type });
  }
  return () => unmount(storage.mountPoint);
}

/** Longest value that fsconfig(2) takes, bytes; the layers of an image are often more. */
const MAX_PARAMETER_BYTES = 255;

function isLong([, value = ""]: readonly [name: string, value?: string]): boolean {
  return utf8Encode(value).length > MAX_PARAMETER_BYTES;
}

/** The older way, whose options may have a page together. */
function mountByPath({ mountPoint, options }: Storage, type: string, source: string): () => void {
  const { flags, data } = parseMountOptions(options);
  makeMountPoint(mountPoint, true);
  mountAt(source, mountPoint, type, flags.set, data.join(","));
  return () => unmount(mountPoint);
}

/** Makes what a file or directory is mounted on, where nothing is. */
export function makeMountPoint(path: string, directory: boolean): void {
  if (statIfExists(path) !== undefined) return;
  if (directory) {
    mkdirAll(path);
    return;
  }
  mkdirAll(path.replace(/\/[^/]*$/, "") || "/");
  writeFile(path, "", 0o644);
}

/** Unmounts what is at `path`, now or when its last user is gone; no link is followed (CVE-2020-2024). */
export function unmount(path: string): void {
  const result = kernel().syscall("umount2", path, UMOUNT_NOFOLLOW | MNT_DETACH);
  // EINVAL: nothing is mounted there; ENOENT: not even the directory is.
  if (result !== -22 && result !== -2) check(result, "unmount", path);
}

/** Gives what is at `path` to group `gid`. */
export function chgrp(path: string, gid: number): void {
  check(kernel().syscall("fchownat", AT_FDCWD, path, -1, gid, 0x100), "change group of", path);
}
