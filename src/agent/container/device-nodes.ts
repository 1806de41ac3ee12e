/**
 * The device nodes and links of a container's /dev.
 * Source: runtime-spec, "Default Devices", "Dev symbolic links".
 */
import { KataError } from "../../kata-error.ts";
import { EEXIST } from "../../sys/errno.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  makeDevice,
  O_PATH,
  openInRoot,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFMT,
  statx,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { openParent } from "./mount-target.ts";

export interface DeviceNode {
  /** Absolute, in the container. */
  readonly path: string;
  readonly type: "character" | "block" | "fifo";
  readonly major: number;
  readonly minor: number;
  /** Permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

const TYPES = { character: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO } as const;

function standardNode(name: string, major: number, minor: number): DeviceNode {
  return { path: `/dev/${name}`, type: "character", major, minor, mode: 0o666, uid: 0, gid: 0 };
}

/** What every container has. */
export const DEFAULT_DEVICES: readonly DeviceNode[] = [
  standardNode("null", 1, 3),
  standardNode("zero", 1, 5),
  standardNode("full", 1, 7),
  standardNode("random", 1, 8),
  standardNode("urandom", 1, 9),
  standardNode("tty", 5, 0),
];

const LINKS: readonly (readonly [path: string, target: string])[] = [
  ["/dev/fd", "/proc/self/fd"],
  ["/dev/stdin", "/proc/self/fd/0"],
  ["/dev/stdout", "/proc/self/fd/1"],
  ["/dev/stderr", "/proc/self/fd/2"],
];

/** Makes `nodes` below `root`; the process's umask must be 0. @param bind puts the machine's own node there instead. */
export function makeDeviceNodes(
  root: number,
  nodes: readonly DeviceNode[],
  bind: ((node: DeviceNode) => void) | undefined,
): void {
  for (const node of nodes) {
    if (bind !== undefined) bind(node);
    else makeDeviceNode(root, node);
  }
}

function makeDeviceNode(root: number, node: DeviceNode): void {
  const { parent, name } = openParent(root, node.path);
  using directory = parent;
  const type = TYPES[node.type];
  const device = makeDevice(node.major, node.minor);
  const made = kernel().syscall("mknodat", directory.fd, name, type | node.mode, device);
  if (made === -EEXIST) {
    const found = statx(directory.fd, name, AT_SYMLINK_NOFOLLOW);
    const same =
      (found.mode & S_IFMT) === type &&
      (node.type === "fifo" || (found.deviceMajor === node.major && found.deviceMinor === node.minor));
    if (!same) {
      throw new KataError("already-exists", {
        operation: "make device",
        object: node.path,
        hint: "the root filesystem holds something else there",
      });
    }
  } else check(made, "make device", node.path);
  if (node.uid !== 0 || node.gid !== 0) {
    check(
      kernel().syscall("fchownat", directory.fd, name, node.uid, node.gid, AT_SYMLINK_NOFOLLOW),
      "change owner",
      node.path,
    );
  }
}

/** Makes the links that programs expect in /dev. What is there already stays, but for ptmx. */
export function makeDeviceLinks(root: number, hasKernelCore: boolean): void {
  for (const [path, target] of hasKernelCore ? [...LINKS, ["/dev/core", "/proc/kcore"] as const] : LINKS) {
    makeLink(root, path, target);
  }
  // Without this link a terminal would be made in the wrong devpts.
  const { parent, name } = openParent(root, "/dev/ptmx");
  using directory = parent;
  kernel().syscall("unlinkat", directory.fd, name, 0);
  makeLink(root, "/dev/ptmx", "pts/ptmx");
}

function makeLink(root: number, path: string, target: string): void {
  const { parent, name } = openParent(root, path);
  using directory = parent;
  const made = kernel().syscall("symlinkat", target, directory.fd, name);
  if (made !== -EEXIST) check(made, "make link", path);
}

/** Whether anything is at `path` below `root`. */
export function existsInRoot(root: number, path: string): boolean {
  try {
    openInRoot(root, path, O_PATH).close();
    return true;
  } catch (error) {
    if (error instanceof KataError && error.code === "system-call") return false;
    throw error;
  }
}
