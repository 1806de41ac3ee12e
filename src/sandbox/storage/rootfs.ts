/**
 * A container's root filesystem in the shared directory: the mounts that containerd asks for, or a directory that is there.
 * Sources: mount(2); containerd, "types.Mount" (mounts lie on top of each other unless they name a target).
 */

import { hasErrno, KataError } from "../../kata-error.ts";
import {
  MS_BIND,
  MS_NODEV,
  MS_NOSUID,
  MS_RDONLY,
  MS_REC,
  MS_REMOUNT,
  parseMountOptions,
} from "../../oci/mount-options.ts";
import { AT_FDCWD, mkdirIfMissing } from "../../sys/files.ts";
import { openLoopDevice } from "../../sys/loop-device.ts";
import { mount } from "../../sys/mount.ts";
import { AT_RECURSIVE, OPEN_TREE_CLONE, openTree } from "../../sys/new-mount-api.ts";
import { chdir } from "../../sys/process.ts";
import { isAbsolute, joinPath } from "../path.ts";
import type { ContainerRequest, RootfsMount } from "../types.ts";
import { isForLoopDevice } from "./block-rootfs.ts";
import { hardenTree } from "./host-side-flags.ts";
import { hostView } from "./host-view.ts";
import { shortenOverlay } from "./overlay-options.ts";
import type { SharedDirectory } from "./shared-directory.ts";

/** Mount data is one page in the kernel, with its NUL. */
const MAX_DATA_BYTES = 4095;

/** The name in the shared directory of what belongs to container `id`. */
export function rootfsName(id: string): string {
  return `${id}/rootfs`;
}

/**
 * Makes the root filesystem of `request` visible to the guest.
 *
 * @returns its path in the guest.
 * @throws KataError `not-found` that names the directory or source that is missing; nothing stays mounted.
 */
export function shareRootfs(share: SharedDirectory, request: ContainerRequest): string {
  const name = rootfsName(request.id);
  const { rootfs } = request;
  if (rootfs.length === 0) {
    const root = request.spec.root;
    if (root === undefined) {
      throw new KataError("invalid-argument", {
        operation: "find root filesystem",
        object: `container ${request.id}`,
        hint: "its specification has no root.path",
      });
    }
    const path = isAbsolute(root.path) ? root.path : joinPath(request.bundle, root.path);
    using tree = openSource("find root filesystem", path);
    hardenTree(tree);
    return share.place(tree, name);
  }
  return share.mountUnder(name, (point) => {
    for (const entry of rootfs) mountRootfs(entry, point);
  });
}

/** A copy of the mount at `path`, as the host sees it. */
function openSource(operation: string, path: string): ReturnType<typeof openTree> {
  try {
    return openTree(AT_FDCWD, path, OPEN_TREE_CLONE | AT_RECURSIVE);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR")) throw error;
    throw new KataError("not-found", {
      operation,
      object: path,
      errno: error.errno,
      hint: "root.path of the specification must be a directory on the host",
      cause: error,
    });
  }
}

/** The file system in a file. The mount holds the loop device, and gives it back. */
function mountFile(entry: RootfsMount, target: string, flags: number, data: string): void {
  const { path, descriptor } = openLoopDevice(entry.source, (flags & MS_RDONLY) !== 0);
  using _device = descriptor;
  mount(path, target, entry.type, flags, data);
}

/** Inside of the room. */
function mountRootfs(entry: RootfsMount, point: string): void {
  const target = entry.target === "" ? point : joinPath(point, entry.target);
  if (entry.target !== "") mkdirIfMissing(target, 0o755);
  const options = parseMountOptions(entry.options);
  const flags = options.flags.set | MS_NODEV | MS_NOSUID;
  if (options.bind || entry.type === "bind") {
    mount(entry.source, target, null, MS_BIND | (options.recursiveBind ? MS_REC : 0), null);
    mount(null, target, null, MS_BIND | MS_REMOUNT | (flags & (MS_RDONLY | MS_NODEV | MS_NOSUID)), null);
    return;
  }
  const isFile = hostView.typeOf(entry.source) === "file";
  if (isFile && entry.type !== "overlay") {
    mountFile(entry, target, flags, options.data.filter((option) => !isForLoopDevice(option)).join(","));
    return;
  }
  const data = options.data.join(",");
  if (entry.type !== "overlay" || data.length <= MAX_DATA_BYTES) {
    mount(entry.source, target, entry.type, flags, data);
    return;
  }
  const short = shortenOverlay(options.data);
  // The room gives the working directory back.
  chdir(short.directory);
  mount(entry.source, target, entry.type, flags, short.options.join(","));
}
