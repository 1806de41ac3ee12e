/**
 * The device nodes and links of a container's /dev.
 * Source: runtime-spec, "Default Devices", "Dev symbolic links".
 */
import { KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { EEXIST } from "../../sys/errno.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  makeDevice,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFMT,
  statx,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { openDirectory } from "./mount-target.ts";

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

/** Opens the directory of each path once: nearly all are in /dev. */
class Parents implements Disposable {
  readonly #root: number;
  readonly #open = new Map<string, FileDescriptor>();

  constructor(root: number) {
    this.#root = root;
  }

  /** The directory that `path` is in, made if it is missing, and its name there. */
  of(path: string): { readonly directory: number; readonly name: string } {
    const slash = path.lastIndexOf("/");
    const above = path.slice(0, slash);
    let parent = this.#open.get(above);
    if (parent === undefined) {
      parent = openDirectory(this.#root, above);
      this.#open.set(above, parent);
    }
    return { directory: parent.fd, name: path.slice(slash + 1) };
  }

  [Symbol.dispose](): void {
    for (const parent of this.#open.values()) parent.close();
  }
}

/** Makes `nodes` below `root`; the process's umask must be 0. @param bind puts the machine's own node there instead. */
export function makeDeviceNodes(
  root: number,
  nodes: readonly DeviceNode[],
  bind: ((node: DeviceNode) => void) | undefined,
): void {
  using parents = new Parents(root);
  for (const node of nodes) {
    if (bind !== undefined) bind(node);
    else makeDeviceNode(parents, node);
  }
}

function makeDeviceNode(parents: Parents, node: DeviceNode): void {
  const { directory, name } = parents.of(node.path);
  const type = TYPES[node.type];
  const device = makeDevice(node.major, node.minor);
  const made = kernel().syscall("mknodat", directory, name, type | node.mode, device);
  if (made === -EEXIST) {
    const found = statx(directory, name, AT_SYMLINK_NOFOLLOW);
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
      kernel().syscall("fchownat", directory, name, node.uid, node.gid, AT_SYMLINK_NOFOLLOW),
      "change owner",
      node.path,
    );
  }
}

/** Makes the links that programs expect in /dev. What is there already stays, but for ptmx. */
export function makeDeviceLinks(root: number, hasKernelCore: boolean): void {
  using parents = new Parents(root);
  for (const [path, target] of hasKernelCore ? [...LINKS, ["/dev/core", "/proc/kcore"] as const] : LINKS) {
    makeLink(parents, path, target);
  }
  // Without this link a terminal would be made in the wrong devpts.
  const { directory, name } = parents.of("/dev/ptmx");
  kernel().syscall("unlinkat", directory, name, 0);
  makeLink(parents, "/dev/ptmx", "pts/ptmx");
}

function makeLink(parents: Parents, path: string, target: string): void {
  const { directory, name } = parents.of(path);
  const made = kernel().syscall("symlinkat", target, directory, name);
  if (made !== -EEXIST) check(made, "make link", path);
}
