/**
 * Mounting in a container's root filesystem.
 *
 * Each mount is made aside, gets its attributes there, and is then moved to a place that the kernel resolved below the root:
 * at no time does a path name a place twice.
 * Sources: fsopen(2), fsmount(2), open_tree(2), mount_setattr(2), move_mount(2).
 */
import { KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { AT_EMPTY_PATH, AT_FDCWD, filesystemType, modeOf, S_IFDIR, S_IFMT } from "../../sys/files.ts";
import {
  AT_RECURSIVE,
  fsconfigCreate,
  fsconfigFlag,
  fsconfigString,
  fsmount,
  fsopen,
  MOUNT_ATTR_RDONLY,
  mountSetattr,
  moveMount,
  OPEN_TREE_CLONE,
  openTree,
} from "../../sys/new-mount-api.ts";
import { duplicate } from "../../sys/process.ts";
import { mountCgroups, type VisibleCgroup } from "./cgroup-mount.ts";
import { copyUp } from "./copy-up.ts";
import {
  type AttributeChange,
  checkProcMountpoint,
  type MadeSource,
  type MountPlan,
  type MountSource,
} from "./mount-plan.ts";
import { openMountTarget, openPlainDirectory } from "./mount-target.ts";

const PROC_SUPER_MAGIC = 0x9fa0;

/**
 * A new mount that is nowhere yet. The caller closes it.
 *
 * @param attributes `MOUNT_ATTR_*` bits that a mount of its own file system begins with; a bind has those of its source.
 */
export function newMount(source: Exclude<MountSource, { kind: "cgroup" }>, attributes = 0): FileDescriptor {
  if (source.kind === "prepared") return duplicate(source.fd);
  if (source.kind === "bind") {
    const flags = OPEN_TREE_CLONE | (source.recursive ? AT_RECURSIVE : 0);
    return openTree(AT_FDCWD, source.path, flags);
  }
  using context = fsopen(source.type);
  if (source.source !== "") fsconfigString(context, "source", source.source);
  for (const [name, value] of source.parameters) {
    if (value === undefined) fsconfigFlag(context, name);
    else fsconfigString(context, name, value);
  }
  fsconfigCreate(context);
  return fsmount(context, attributes);
}

function isDirectory(fd: number): boolean {
  return (modeOf(fd) & S_IFMT) === S_IFDIR;
}

/** Attaches `mount` at the place that `target` holds. */
export function attach(mount: FileDescriptor, target: FileDescriptor): void {
  moveMount(mount.fd, target.fd);
}

/**
 * Mounts `plan` below `root`.
 *
 * @returns the mount if it has to become read-only after all is in place; the caller closes it.
 */
export function mountInContainer(
  root: number,
  plan: MountPlan,
  cgroup: VisibleCgroup,
): FileDescriptor | undefined {
  try {
    if (plan.source.kind === "cgroup") {
      mountCgroups(root, plan.destination, plan.attributes, cgroup);
      return undefined;
    }
    return mountOne(root, plan, plan.source);
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    throw new KataError(error.code, {
      operation: `mount ${nameOf(plan.source)} at`,
      object: `${plan.destination}: ${error.operation} ${error.object}`,
      errno: error.errno,
      hint: error.hint,
    });
  }
}

function nameOf(source: MountSource): string {
  switch (source.kind) {
    case "bind":
      return source.path;
    case "filesystem":
      return source.type;
    case "prepared":
      return nameOf(source.of);
    case "cgroup":
      return "cgroup";
  }
}

function mountOne(
  root: number,
  plan: MountPlan,
  source: Exclude<MountSource, { kind: "cgroup" }>,
): FileDescriptor | undefined {
  const made = source.kind === "prepared" ? source.of : source;
  const late =
    source.kind === "filesystem" &&
    source.type === "tmpfs" &&
    (plan.attributes.set & MOUNT_ATTR_RDONLY) !== 0;
  const mount = newMount(source, late ? plan.attributes.set & ~MOUNT_ATTR_RDONLY : plan.attributes.set);
  try {
    if (made.kind === "bind") change(mount, plan.attributes, 0);
    if (plan.recursiveAttributes !== undefined) change(mount, plan.recursiveAttributes, AT_RECURSIVE);
    using target = openTarget(root, plan, made, mount);
    if (plan.copyUp) copyUp(target.fd, mount.fd);
    attach(mount, target);
    for (const { type, recursive } of plan.propagation) {
      mountSetattr(mount.fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), { propagation: type });
    }
  } catch (error) {
    mount.close();
    throw error;
  }
  if (late) return mount;
  mount.close();
  return undefined;
}

function change(mount: FileDescriptor, attributes: AttributeChange, flags: number): void {
  if (attributes.set === 0 && attributes.clear === 0) return;
  mountSetattr(mount.fd, "", AT_EMPTY_PATH | flags, attributes);
}

function openTarget(
  root: number,
  plan: MountPlan,
  source: MadeSource,
  mount: FileDescriptor,
): FileDescriptor {
  // What a program learns of itself and of others there decides over its rights (CVE-2019-16884).
  if (plan.destination === "/proc" && filesystemType(mount.fd) !== PROC_SUPER_MAGIC) {
    throw new KataError("invalid-argument", {
      operation: "mount",
      object: "only procfs is mounted at /proc",
    });
  }
  // A link in the place of /proc would let the image choose where procfs goes (CVE-2019-19921).
  if (source.kind === "filesystem" && (source.type === "proc" || source.type === "sysfs")) {
    return openPlainDirectory(root, plan.destination);
  }
  const isFile = source.kind === "bind" && !isDirectory(mount.fd);
  const target = openMountTarget(root, plan.destination, isFile ? "file" : "directory");
  try {
    if (filesystemType(target.fd) === PROC_SUPER_MAGIC) checkProcMountpoint(plan.destination);
    return target;
  } catch (error) {
    target.close();
    throw error;
  }
}
