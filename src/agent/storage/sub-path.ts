/**
 * A part of a volume for one container, as Kubernetes' subPath asks for it.
 *
 * Other containers write to the volume: whatever links they have made in it, the part is looked for below the volume alone, and what
 * is missing is made there (CVE-2021-25741, CVE-2017-1002101 of Kubernetes).
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { EEXIST } from "../../sys/errno.ts";
import {
  AT_EMPTY_PATH,
  fchmod,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  open,
  openat2,
  openInRoot,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
  S_IFMT,
  statx,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { AT_RECURSIVE, moveMountTo, OPEN_TREE_CLONE, openTree } from "../../sys/new-mount-api.ts";
import { checkMountPoint, makeMountPoint, optionValue, type Storage, unmount } from "./storage.ts";

const OPTION = "X-kata.sub-path";
const MAX_DEPTH = 64;

/** Binds the part of `storage.source` that its options name; undefined if they name none. @returns how to unmount it. */
export function bindSubPath(storage: Storage): (() => void) | undefined {
  const path = optionValue(storage.options, OPTION);
  if (path === undefined) return undefined;
  const { source, mountPoint } = storage;
  checkMountPoint(mountPoint);
  const components = path.split("/").filter((component) => component !== "" && component !== ".");
  if (components.includes("..") || components.length > MAX_DEPTH || path.includes("\0")) {
    throw new KataError("invalid-argument", {
      operation: "bind part of volume",
      object: JSON.stringify(path.slice(0, 256)),
      hint: `it is a relative path without '..', of ${MAX_DEPTH} components at most`,
    });
  }
  using volume = open(source, O_PATH | O_DIRECTORY);
  using part = openPart(volume.fd, components);
  using tree = openTree(part.fd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
  makeMountPoint(mountPoint, (statx(tree.fd, "", AT_EMPTY_PATH).mode & S_IFMT) === S_IFDIR);
  moveMountTo(tree.fd, mountPoint);
  return () => unmount(mountPoint);
}

/** What is at `components` below the volume; directories are made, with the permissions of the volume's own. */
function openPart(volume: number, components: readonly string[]): FileDescriptor {
  try {
    return openInRoot(volume, `/${components.join("/")}`, O_PATH);
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
  }
  const mode = statx(volume, "", AT_EMPTY_PATH).mode & 0o7777;
  const how = { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
  let current = openat2(volume, ".", how);
  for (const component of components) {
    using parent = current;
    const made = kernel().syscall("mkdirat", parent.fd, component, 0o700);
    if (made !== -EEXIST) check(made, "make part of volume", component);
    current = openat2(parent.fd, component, how);
    if (made !== -EEXIST) fchmod(current.fd, mode);
  }
  return current;
}
