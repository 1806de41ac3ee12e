/**
 * The directory that host and guest share.
 *
 * ```
 * <share>/            tmpfs, in the sandbox's mount namespace only
 *   mounts/           where root filesystems and volumes are mounted       → propagates to
 *   shared/           the same, itself read-only: what the file server exports as `kataShared`
 * ```
 *
 * So the guest can write into what is mounted for it, but make nothing in the directory itself, which is the host's memory.
 */

import { hasErrno, KataError } from "../../kata-error.ts";
import {
  MOUNT_ATTR_RDONLY,
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_SHARED,
  MS_SLAVE,
} from "../../oci/mount-options.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  mkdirIfMissing,
  rmdirIfExists,
  S_IFDIR,
  S_IFMT,
  statx,
  unlinkIfExists,
  writeFile,
} from "../../sys/files.ts";
import { MNT_DETACH, mount, UMOUNT_NOFOLLOW, umount2 } from "../../sys/mount.ts";
import { mountSetattr, moveMountTo } from "../../sys/new-mount-api.ts";
import { GUEST_SHARE, type SandboxPaths } from "../sandbox-paths.ts";
import type { MountRoom } from "./mount-room.ts";

/** It holds empty directories and files as mount points, nothing else. */
const TMPFS_OPTIONS = "mode=0700,size=4m,nr_inodes=16k";

export class SharedDirectory {
  readonly room: MountRoom;
  readonly paths: SandboxPaths;
  /** Mount points, in the order in which they were made. */
  readonly #points: string[] = [];

  private constructor(room: MountRoom, paths: SandboxPaths) {
    this.room = room;
    this.paths = paths;
  }

  /** Makes it in `room`, over the host's directory `paths.share`, which exists. */
  static create(room: MountRoom, paths: SandboxPaths): SharedDirectory {
    const { share, mounts, exported } = paths;
    room.run(() => {
      mount("tmpfs", share, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, TMPFS_OPTIONS);
      mkdirIfMissing(mounts, 0o755);
      mkdirIfMissing(exported, 0o755);
      mount(mounts, mounts, null, MS_BIND, null);
      mountSetattr(AT_FDCWD, mounts, 0, { propagation: MS_SHARED });
      mount(mounts, exported, null, MS_BIND, null);
      mountSetattr(AT_FDCWD, exported, 0, { propagation: MS_SLAVE });
      mountSetattr(AT_FDCWD, exported, 0, { set: MOUNT_ATTR_RDONLY, clear: 0 });
    });
    return new SharedDirectory(room, paths);
  }

  /**
   * Goes on with a directory that another process has made, whose file server is in another room: what is mounted in `mounts`, a copy
   * of its tree, propagates there.
   */
  static join(room: MountRoom, paths: SandboxPaths, mounts: FileDescriptor): SharedDirectory {
    mkdirIfMissing(paths.mounts, 0o755);
    room.run(() => moveMountTo(mounts.fd, paths.mounts));
    return new SharedDirectory(room, paths);
  }

  /** Where the guest finds `name`. */
  guestPath(name: string): string {
    return `${GUEST_SHARE}/${name}`;
  }

  /**
   * Shows a detached mount to the guest under `name`, which may have one directory in front: `container/rootfs`.
   *
   * @returns the path in the guest.
   */
  place(tree: FileDescriptor, name: string): string {
    const isDirectory = (statx(tree.fd, "", AT_EMPTY_PATH).mode & S_IFMT) === S_IFDIR;
    this.room.run(() => {
      const point = this.#makePoint(name, isDirectory);
      try {
        moveMountTo(tree.fd, point);
      } catch (error) {
        removePoint(point);
        throw error;
      }
      this.#points.push(name);
    });
    return this.guestPath(name);
  }

  /** An empty directory under `name`, for the guest to mount something on. @returns the path in the guest. */
  makeEmpty(name: string): string {
    this.room.run(() => {
      this.#makePoint(name, true);
      this.#points.push(name);
    });
    return this.guestPath(name);
  }

  /** Like {@link place}, for what `mountAt` mounts at the path that it is given. */
  mountUnder(name: string, mountAt: (point: string) => void): string {
    this.room.run(() => {
      const point = this.#makePoint(name, true);
      try {
        mountAt(point);
      } catch (error) {
        detach(point);
        removePoint(point);
        throw error;
      }
      this.#points.push(name);
    });
    return this.guestPath(name);
  }

  /** Takes `name` away from the guest. A name that is not there is no error. */
  remove(name: string): void {
    const index = this.#points.indexOf(name);
    if (index < 0) return;
    this.#points.splice(index, 1);
    this.room.run(() => {
      const point = `${this.paths.mounts}/${name}`;
      detach(point);
      removePoint(point);
      const slash = name.indexOf("/");
      if (slash > 0) removeEmpty(`${this.paths.mounts}/${name.slice(0, slash)}`);
    });
  }

  /** Takes everything away, the last mount first. */
  removeAll(): void {
    for (const name of [...this.#points].reverse()) this.remove(name);
  }

  #makePoint(name: string, isDirectory: boolean): string {
    if (!/^[^/]+(\/[^/]+)?$/.test(name) || name.split("/").some((part) => part === "." || part === "..")) {
      throw new KataError("invalid-argument", { operation: "share", object: JSON.stringify(name) });
    }
    const point = `${this.paths.mounts}/${name}`;
    const slash = name.indexOf("/");
    if (slash > 0) mkdirIfMissing(`${this.paths.mounts}/${name.slice(0, slash)}`, 0o755);
    if (isDirectory) mkdirIfMissing(point, 0o755);
    else writeFile(point, "", 0o644);
    return point;
  }
}

function detach(point: string): void {
  try {
    umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW);
  } catch (error) {
    // EINVAL: nothing is mounted there any more.
    if (!hasErrno(error, "EINVAL", "ENOENT")) throw error;
  }
}

function removeEmpty(directory: string): void {
  try {
    rmdirIfExists(directory);
  } catch (error) {
    if (!hasErrno(error, "ENOTEMPTY", "EEXIST")) throw error;
  }
}

function removePoint(point: string): void {
  if ((statx(AT_FDCWD, point).mode & S_IFMT) === S_IFDIR) rmdirIfExists(point);
  else unlinkIfExists(point);
}
