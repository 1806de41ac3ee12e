/**
 * Making a root filesystem the container's `/`, from the first mount to pivot_root(2). Runs in the child, in its own mount
 * namespace; up to the pivot all paths are resolved below the new root, and the agent's own files are still in sight.
 * Source: runtime-spec; pivot_root(2), "NOTES".
 */
import { KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { AT_EMPTY_PATH, AT_FDCWD, exists } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import {
  AT_RECURSIVE,
  MOUNT_ATTR_RDONLY,
  mountSetattr,
  moveMountTo,
  OPEN_TREE_CLONE,
  openTree,
} from "../../sys/new-mount-api.ts";
import { chdir, fchdir, umask } from "../../sys/process.ts";
import { tracedNow, tracePhase } from "../../sys/trace.ts";
import type { VisibleCgroup } from "./cgroup-mount.ts";
import { DEFAULT_DEVICES, type DeviceNode, makeDeviceLinks, makeDeviceNodes } from "./device-nodes.ts";
import type { MountPlan } from "./mount-plan.ts";
import { cleanPath, openDirectory, openMountTarget } from "./mount-target.ts";
import { attach, mountInContainer } from "./mounts.ts";
import type { TerminalSize } from "./process-plan.ts";
import { maskPaths, protectPaths } from "./restricted-paths.ts";

export interface RootfsPlan {
  /** Where the root filesystem is in the agent's view. */
  readonly path: string;
  readonly readonly: boolean;
  /** `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED` or `MS_UNBINDABLE`, and whether for all mounts below. */
  readonly propagation: { readonly type: number; readonly recursive: boolean };
  readonly mounts: readonly MountPlan[];
  readonly devices: readonly DeviceNode[];
  /** Device nodes cannot be made in a user namespace: the machine's own are bound. */
  readonly bindDevices: boolean;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly workingDirectory: string;
  readonly cgroup: VisibleCgroup;
}

const MS_PRIVATE = 1 << 18;
const MS_SLAVE = 1 << 19;
const MNT_DETACH = 2;

export interface RootfsSteps {
  /** Makes the terminal in the container's devpts and puts it at /dev/console. */
  readonly setUpTerminal: (root: number, size: TerminalSize) => void;
  /** Runs when all is mounted, while the agent's files are still in sight. */
  readonly beforePivot: () => void;
}

export function enterRootFilesystem(
  plan: RootfsPlan,
  terminal: TerminalSize | undefined,
  { setUpTerminal, beforePivot }: RootfsSteps,
): void {
  umask(0);
  // Mounts of the container never reach the agent; the other way they do, if it is a slave.
  const inward = plan.propagation.type === MS_PRIVATE ? MS_PRIVATE : MS_SLAVE;
  mountSetattr(AT_FDCWD, "/", AT_RECURSIVE, { propagation: inward });
  using root = openTree(AT_FDCWD, plan.path, OPEN_TREE_CLONE | AT_RECURSIVE);
  moveMountTo(root.fd, plan.path);
  // pivot_root refuses a root whose parent mount is shared; a slave of a shared mount is none.
  tracedNow("guest child", "mount all", () => mountAll(root.fd, plan, terminal, setUpTerminal));
  beforePivot();
  tracedNow("guest child", "change root", () => pivot(root));
  // What was made since is nobody's master or slave; what was there before is a slave already.
  if (plan.propagation.type !== MS_PRIVATE && plan.propagation.type !== MS_SLAVE) {
    mountSetattr(AT_FDCWD, "/", plan.propagation.recursive ? AT_RECURSIVE : 0, {
      propagation: plan.propagation.type,
    });
  }
}

function mountAll(
  root: number,
  plan: RootfsPlan,
  terminal: TerminalSize | undefined,
  setUpTerminal: (root: number, size: TerminalSize) => void,
): void {
  const late: FileDescriptor[] = [];
  for (const mount of plan.mounts) {
    const mounted = tracedNow("guest child", `mount ${mount.destination}`, () =>
      mountInContainer(root, mount, plan.cgroup),
    );
    if (mounted !== undefined) late.push(mounted);
  }
  // A /dev of the machine's own has its nodes.
  const foreignDev = plan.mounts.some(
    ({ destination, source }) => destination === "/dev" && source.kind === "bind",
  );
  const devices = tracePhase("guest child", "make devices");
  if (!foreignDev) {
    const named = new Set(plan.devices.map(({ path }) => cleanPath(path)));
    const nodes = [...DEFAULT_DEVICES.filter(({ path }) => !named.has(path)), ...plan.devices];
    makeDeviceNodes(root, nodes, plan.bindDevices ? (node) => bindDevice(root, node) : undefined);
    makeDeviceLinks(root, exists("/proc/kcore"));
  }
  devices();
  if (terminal !== undefined) setUpTerminal(root, terminal);
  const covering = tracePhase("guest child", "cover paths");
  openDirectory(root, plan.workingDirectory).close();
  protectPaths(root, plan.readonlyPaths);
  maskPaths(root, plan.maskedPaths);
  covering();
  for (const mount of late) {
    mountSetattr(mount.fd, "", AT_EMPTY_PATH, { set: MOUNT_ATTR_RDONLY, clear: 0 });
    mount.close();
  }
  if (plan.readonly) mountSetattr(root, "", AT_EMPTY_PATH, { set: MOUNT_ATTR_RDONLY, clear: 0 });
}

function bindDevice(root: number, node: DeviceNode): void {
  if (node.type === "fifo") return;
  using source = openTree(AT_FDCWD, node.path, OPEN_TREE_CLONE);
  using target = openMountTarget(root, node.path, "file");
  attach(source, target);
}

/** Changes `/` of this mount namespace to `root` and drops all that was there before. */
function pivot(root: FileDescriptor): void {
  fchdir(root.fd);
  const pivoted = kernel().syscall("pivot_root", ".", ".");
  if (pivoted < 0) {
    throw new KataError("system-call", {
      operation: "change root",
      object: "pivot_root",
      errno: pivoted === -22 ? "EINVAL" : `errno ${-pivoted}`,
      hint: "the agent's own root must not be the initial ramfs",
    });
  }
  // The old root is now on top of the new one: made a slave, its unmounting does not reach anybody else.
  mountSetattr(AT_FDCWD, ".", AT_RECURSIVE, { propagation: MS_SLAVE });
  check(kernel().syscall("umount2", ".", MNT_DETACH), "detach old root", "/");
  chdir("/");
}
