/**
 * Places in a container's root filesystem, which belongs to somebody else: its image may hold any link anywhere, and a
 * neighbour that shares a volume may exchange a directory for a link at any time (CVE-2021-30465, CVE-2023-27561).
 * So every path is resolved by the kernel below the root, and what follows works on the descriptor.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { EEXIST, ENOENT } from "../../sys/errno.ts";
import {
  MAX_PATH_BYTES,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_WRONLY,
  openat,
  openat2,
  openInRoot,
  openInRootIfThere,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  readlinkat,
} from "../../sys/files.ts";
import { check, kernel, systemCallError } from "../../sys/kernel.ts";

const DIRECTORY_MODE = 0o755;
const FILE_MODE = 0o644;

/** `path` as components without `.` and `..`; `..` at the root stays there. */
export function pathComponents(path: string): string[] {
  const components: string[] = [];
  for (const component of path.split("/")) {
    if (component === "..") components.pop();
    else if (component !== "" && component !== ".") components.push(component);
  }
  return components;
}

/** `path` in its shortest form, absolute. */
export function cleanPath(path: string): string {
  return `/${pathComponents(path).join("/")}`;
}

/** Most links that lead nowhere on the way to one directory; the kernel follows no more of those that lead somewhere. */
const MAX_DANGLING_LINKS = 40;

/**
 * Opens the directory at `path` below `root` as a place to act on; makes what is missing, also where a link leads
 * (`/var/run → /run` in an image without `/run`). The caller closes it.
 */
export function openDirectory(root: number, path: string, links = 0): FileDescriptor {
  const clean = cleanPath(path);
  const found = openInRootIfThere(root, clean, O_PATH | O_DIRECTORY);
  if (found !== undefined) return found;
  const components = pathComponents(path);
  const nearest = openNearest(root, components);
  let current = nearest.current;
  for (const [index, component] of components.entries()) {
    if (index < nearest.present) continue;
    using parent = current;
    const made = kernel().syscall("mkdirat", parent.fd, component, DIRECTORY_MODE);
    if (made !== -EEXIST) check(made, "make directory", clean);
    // From the root again and not from the parent: the component may be a link, and links start at the root.
    const reached = components.slice(0, index + 1).join("/");
    const next = openInRootIfThere(root, `/${reached}`, O_PATH | O_DIRECTORY);
    if (next !== undefined) {
      current = next;
    } else {
      if (links >= MAX_DANGLING_LINKS) throw systemCallError(-ENOENT, "open", `/${reached}`);
      const target = readlinkat(parent.fd, component);
      const place = target.startsWith("/") ? target : `${components.slice(0, index).join("/")}/${target}`;
      return openDirectory(root, `${place}/${components.slice(index + 1).join("/")}`, links + 1);
    }
  }
  return current;
}

/** The directory that a missing one is to be in, or the root if that is missing, too; and how many components lead there. */
function openNearest(
  root: number,
  components: readonly string[],
): { readonly current: FileDescriptor; readonly present: number } {
  const above = components.slice(0, -1);
  const current = openInRootIfThere(root, `/${above.join("/")}`, O_PATH | O_DIRECTORY);
  if (current !== undefined) return { current, present: above.length };
  return { current: openInRoot(root, "/", O_PATH | O_DIRECTORY), present: 0 };
}

/** Opens what is at `path` below `root`, as a mount target; a missing one is made as `kind`. The caller closes it. */
export function openMountTarget(root: number, path: string, kind: "directory" | "file"): FileDescriptor {
  if (path.includes("\0") || path.length >= MAX_PATH_BYTES) {
    throw new KataError("invalid-argument", {
      operation: "mount at",
      object: JSON.stringify(path.slice(0, 80)),
    });
  }
  if (kind === "directory") return openDirectory(root, path);
  const clean = cleanPath(path);
  const found = openInRootIfThere(root, clean, O_PATH);
  if (found !== undefined) return found;
  const { parent, name } = openParent(root, path);
  using directory = parent;
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  // EEXIST: a link that leads to nothing; making its target would be what the image's author wants, not the user.
  openat(directory.fd, name, flags, FILE_MODE).close();
  return openat(directory.fd, name, O_PATH | O_NOFOLLOW);
}

/** The directory that `path` is in, and its name there. The caller closes the directory. */
export function openParent(
  root: number,
  path: string,
): { readonly parent: FileDescriptor; readonly name: string } {
  const components = pathComponents(path);
  const name = components.pop();
  if (name === undefined) {
    throw new KataError("invalid-argument", {
      operation: "use path in container",
      object: JSON.stringify(path),
    });
  }
  return { parent: openDirectory(root, `/${components.join("/")}`), name };
}

/** Like {@link openMountTarget} for a directory, but refuses any link on the way: for /proc and /sys themselves. */
export function openPlainDirectory(root: number, path: string): FileDescriptor {
  const how = {
    flags: O_PATH | O_DIRECTORY,
    resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
  };
  try {
    return openat2(root, cleanPath(path), how);
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
  }
  openDirectory(root, path).close();
  return openat2(root, cleanPath(path), how);
}
