/**
 * Volumes that are more than a directory of the host to be shown: disks for the pod, memory of the guest, files that Kubernetes
 * changes while they are used.
 *
 * Each becomes a file system that the guest mounts once for the pod; a container's mount binds it, or a part of it.
 * Source: upstream Kata Containers, "volumes"; genpolicy's settings (mount points).
 */
import type { Mount } from "../../oci/types.ts";
import { readDirectory, stat, statIfExists } from "../../sys/files.ts";
import { type MountInfo, readMountInfo } from "../../sys/mountinfo.ts";
import type { Rollback } from "../../sys/rollback.ts";
import { baseName } from "../path.ts";
import { GUEST_SANDBOX } from "../sandbox-paths.ts";
import { readDirectVolume } from "./direct-volume.ts";
import { diskVolume } from "./disk-volume.ts";
import { emptyDirImage } from "./empty-dir-image.ts";
import type { GuestStorage } from "./guest-messages.ts";
import { emptyDirName, isSubPath, isUpdated, resolveSubPath, subPathVolume } from "./kubernetes-volume.ts";
import type { PodVolumes } from "./pod-volumes.ts";
import type { SandboxDisks } from "./sandbox-disks.ts";

/** What an empty volume on disk is. */
export type EmptyDirMode = "shared-fs" | "block-plain" | "block-encrypted" | "guest";

export interface VolumeContext {
  readonly disks: SandboxDisks;
  readonly volumes: PodVolumes;
  readonly emptyDirs: EmptyDirMode;
}

/** What a container's mount comes to. */
export interface ProvidedVolume {
  readonly storages: readonly GuestStorage[];
  readonly mount: Mount;
}

/** Where the guest keeps what its containers share in its memory. */
const EPHEMERAL = `${GUEST_SANDBOX}/ephemeral`;
const LOCAL = `${GUEST_SANDBOX}/local`;
const SUB_PATHS = `${GUEST_SANDBOX}/sub-paths`;
const WATCHED = `${GUEST_SANDBOX}/watchable`;

/** Option of a storage that binds a part of another: the agent opens it there, whatever links the containers have made. */
const SUB_PATH_OPTION = "X-kata.sub-path=";

/**
 * Provides the volume behind `mount`, which is a bind mount.
 *
 * @param name what the container has for itself is called by this.
 * @returns undefined for a directory or file to be shown as it is.
 */
export async function provideVolume(
  context: VolumeContext,
  mount: Mount,
  name: string,
  undo: Rollback,
): Promise<ProvidedVolume | undefined> {
  const source = mount.source ?? "";
  if (!isSubPath(source)) {
    const base = await provideWhole(context, source, undo);
    if (base === undefined) return undefined;
    return { storages: [base], mount: { ...mount, source: base.mountPoint } };
  }
  const mounts = readMountInfo();
  const part = resolveSubPath(source, mounts, volumeCandidates(source));
  if (part === undefined) return undefined;
  const base = await provideWhole(context, part.volume, undo, mounts);
  if (base === undefined) return undefined;
  const mountPoint = `${SUB_PATHS}/${name}`;
  const binding: GuestStorage = {
    driver: "bind",
    source: base.mountPoint,
    fstype: "bind",
    options: ["bind", `${SUB_PATH_OPTION}${part.path}`],
    mountPoint,
  };
  return { storages: [base, binding], mount: { ...mount, source: mountPoint } };
}

/** A copy in the guest's memory that follows the files at `guestPath`, so that programs hear of changes. */
export function watchedCopy(source: string, guestPath: string, name: string): GuestStorage | undefined {
  if (!isUpdated(source)) return undefined;
  return {
    driver: "watchable-bind",
    source: guestPath,
    fstype: "bind",
    options: ["bind"],
    mountPoint: `${WATCHED}/${name}`,
  };
}

async function provideWhole(
  context: VolumeContext,
  path: string,
  undo: Rollback,
  mounts?: readonly MountInfo[],
): Promise<GuestStorage | undefined> {
  const direct = readDirectVolume(path, context.volumes.root);
  if (direct !== undefined) return await diskVolume(context, { ...direct, path, isDirect: true }, undo);
  const name = emptyDirName(path);
  if (name === undefined || statIfExists(path) === undefined) return undefined;
  const mount = (mounts ?? readMountInfo()).findLast(({ mountPoint }) => mountPoint === path);
  if (mount?.type === "tmpfs") return inMemory(path, name, mount);
  if (mount?.type === "hugetlbfs") return hugePages(path, name, mount);
  switch (context.emptyDirs) {
    case "shared-fs":
      return undefined;
    case "guest":
      return inGuest(path, name);
    case "block-plain":
    case "block-encrypted": {
      const image = emptyDirImage(path);
      const isEncrypted = context.emptyDirs === "block-encrypted";
      const volume = {
        path,
        device: image,
        isServed: false,
        filesystem: "ext4",
        options: [],
        group: groupOf(path),
        createFilesystem: !isEncrypted,
        isDirect: false,
        ofPod: { isEncrypted },
      };
      return await diskVolume(context, volume, undo);
    }
  }
}

function inMemory(path: string, name: string, mount: MountInfo): GuestStorage {
  // The host's file system has the limit that Kubernetes gave it.
  const size = mount.superOptions.filter((option) => /^(size|nr_inodes)=\d+[kmg%]?$/.test(option));
  return {
    driver: "ephemeral",
    source: "tmpfs",
    fstype: "tmpfs",
    options: [`mode=${modeOf(path)}`, ...size, ...groupOption(path)],
    mountPoint: `${EPHEMERAL}/${name}`,
  };
}

function hugePages(path: string, name: string, mount: MountInfo): GuestStorage {
  const sizes = mount.superOptions.filter((option) => /^(pagesize|size)=\d+[KMGkmg]?$/.test(option));
  return {
    driver: "ephemeral",
    source: "nodev",
    fstype: "hugetlbfs",
    options: [...sizes, ...groupOption(path)],
    mountPoint: `${EPHEMERAL}/${name}`,
  };
}

function inGuest(path: string, name: string): GuestStorage {
  return {
    driver: "local",
    source: "local",
    fstype: "local",
    options: [`mode=${modeOf(path)}`, ...groupOption(path)],
    mountPoint: `${LOCAL}/${name}`,
  };
}

/** Directories of the pod's volumes that have the name which `source` shows a part of. */
function volumeCandidates(source: string): string[] {
  const place = subPathVolume(source);
  if (place === undefined) return [];
  const volumes = `${place.pod}/volumes`;
  if (statIfExists(volumes) === undefined) return [];
  return readDirectory(volumes).flatMap(({ name: plugin }) => {
    const volume = `${volumes}/${plugin}/${place.name}`;
    return [`${volume}/mount`, volume].filter((path) => statIfExists(path) !== undefined);
  });
}

/** As the agent takes it: without the bit that hands the group on, which goes with the group. */
function modeOf(path: string): string {
  return (stat(path).mode & 0o1777).toString(8).padStart(4, "0");
}

function groupOption(path: string): string[] {
  const group = groupOf(path);
  return group === undefined ? [] : [`fsgid=${group.gid}`];
}

/** The group that Kubernetes has given a volume. */
function groupOf(path: string): { readonly gid: number; readonly onRootMismatch: boolean } | undefined {
  const { gid } = stat(path);
  return gid === 0 ? undefined : { gid, onRootMismatch: false };
}

/** The name of a container's own storage. */
export function storageName(containerId: string, index: number, destination: string): string {
  return `${containerId}-${index.toString(16).padStart(NAME_DIGITS, "0")}-${plainName(destination)}`;
}

/** Characters of a source's own name that its name in the guest keeps: names are for people. */
const KEPT_NAME = 32;
/** Hexadecimal digits in front of it: upstream's are random, and policies expect as many. */
const NAME_DIGITS = 16;

function plainName(path: string): string {
  return (
    baseName(path)
      .replace(/[^\w.-]/g, "_")
      .slice(0, KEPT_NAME) || "root"
  );
}
