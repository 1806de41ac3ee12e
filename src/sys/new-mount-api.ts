/**
 * Mounts as descriptors: made aside, changed there, and then put in a place that is a descriptor too.
 *
 * Every descriptor is closed by execve.
 * Sources: fsopen(2), fsconfig(2), fsmount(2), fspick(2), open_tree(2), move_mount(2), mount_setattr(2);
 * Linux UAPI header linux/mount.h.
 */
import { FileDescriptor } from "./descriptor.ts";
import { AT_FDCWD, type DirectoryFd, O_CLOEXEC } from "./files.ts";
import { check, kernel, systemCallError } from "./kernel.ts";
import { utf8Decode } from "./utf8.ts";

export const AT_RECURSIVE = 0x8000;

/** {@link openTree} answers with a copy that is attached nowhere. */
export const OPEN_TREE_CLONE = 1;

const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;

const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSPICK_CLOEXEC = 1;
const FSPICK_EMPTY_PATH = 8;

const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_SET_FD = 5;
const FSCONFIG_CMD_CREATE = 6;
const FSCONFIG_CMD_RECONFIGURE = 7;

export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOEXEC = 0x8;
/** Mask of the three ways to keep access times, of which `MOUNT_ATTR_RELATIME` is none of the bits. */
export const MOUNT_ATTR_ATIME = 0x70;
export const MOUNT_ATTR_RELATIME = 0;
export const MOUNT_ATTR_NOATIME = 0x10;
export const MOUNT_ATTR_STRICTATIME = 0x20;
export const MOUNT_ATTR_NODIRATIME = 0x80;
export const MOUNT_ATTR_IDMAP = 0x100000;
export const MOUNT_ATTR_NOSYMFOLLOW = 0x200000;

/**
 * The mount or directory at `path` as a descriptor.
 *
 * @param flags `OPEN_TREE_CLONE` for a copy, with `AT_RECURSIVE` of all mounts below too; `AT_EMPTY_PATH` with an empty
 * path for `dir` itself; `AT_SYMLINK_NOFOLLOW`.
 */
export function openTree(dir: DirectoryFd, path: string, flags: number): FileDescriptor {
  const fd = kernel().syscall("open_tree", dir, path, flags | O_CLOEXEC);
  return new FileDescriptor(check(fd, "open mount", path === "" ? dir : path));
}

/** Attaches the mount that `mount` holds over the file or directory that `target` holds. */
export function moveMount(mount: number, target: number): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  check(kernel().syscall("move_mount", mount, "", target, "", flags), "attach mount at", target);
}

/** Attaches the mount that `mount` holds at a path of our own; a link at its end is not followed. */
export function moveMountTo(mount: number, path: string): void {
  const result = kernel().syscall("move_mount", mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
  check(result, "attach mount at", path);
}

/** A file system to be configured and then mounted. @param type a name of /proc/filesystems. */
export function fsopen(type: string): FileDescriptor {
  return new FileDescriptor(
    check(kernel().syscall("fsopen", type, FSOPEN_CLOEXEC), "open file system", type),
  );
}

/** The file system that is mounted at `path`, to be reconfigured. An empty `path` means the mount of `dir`. */
export function fspick(dir: DirectoryFd, path: string): FileDescriptor {
  const flags = FSPICK_CLOEXEC | (path === "" ? FSPICK_EMPTY_PATH : 0);
  return new FileDescriptor(
    check(kernel().syscall("fspick", dir, path, flags), "pick file system at", path === "" ? dir : path),
  );
}

/** Sets a parameter that has a value: `source`, `size`, `lowerdir+`. */
export function fsconfigString(context: FileDescriptor, name: string, value: string): void {
  const result = kernel().syscall("fsconfig", context.fd, FSCONFIG_SET_STRING, name, value, 0);
  checkContext(context, result, "set mount option", `${name}=${value}`);
}

/** Sets a parameter that has none: `ro`. */
export function fsconfigFlag(context: FileDescriptor, name: string): void {
  const result = kernel().syscall("fsconfig", context.fd, FSCONFIG_SET_FLAG, name, null, 0);
  checkContext(context, result, "set mount option", name);
}

/** Sets a parameter whose value is an open file. */
export function fsconfigFd(context: FileDescriptor, name: string, fd: number): void {
  const result = kernel().syscall("fsconfig", context.fd, FSCONFIG_SET_FD, name, null, fd);
  checkContext(context, result, "set mount option", `${name}=fd ${fd}`);
}

/** Makes the file system as configured. */
export function fsconfigCreate(context: FileDescriptor): void {
  const result = kernel().syscall("fsconfig", context.fd, FSCONFIG_CMD_CREATE, null, null, 0);
  checkContext(context, result, "create file system", context.fd);
}

/** Gives the picked file system the parameters that were set. */
export function fsconfigReconfigure(context: FileDescriptor): void {
  const result = kernel().syscall("fsconfig", context.fd, FSCONFIG_CMD_RECONFIGURE, null, null, 0);
  checkContext(context, result, "reconfigure file system", context.fd);
}

/** A mount of a created file system, attached nowhere. @param attributes `MOUNT_ATTR_*` bits. */
export function fsmount(context: FileDescriptor, attributes: number): FileDescriptor {
  const result = kernel().syscall("fsmount", context.fd, FSMOUNT_CLOEXEC, attributes);
  return new FileDescriptor(checkContext(context, result, "mount file system", context.fd));
}

/** Longest message of a file system that is taken over into an error, bytes. */
const MAX_MESSAGE_BYTES = 1024;

/** Like `check`, with the reason that the file system itself gives, which an errno rarely tells. */
function checkContext(
  context: FileDescriptor,
  result: number,
  operation: string,
  object: string | number,
): number {
  if (result >= 0) return result;
  const messages: string[] = [];
  const buffer = new Uint8Array(MAX_MESSAGE_BYTES);
  // The kernel keeps at most eight; each is read once and begins with its level: `e overlay: …`.
  for (let count = 0; count < 8; count++) {
    const length = kernel().syscall("read", context.fd, buffer, buffer.length);
    if (length <= 0) break;
    messages.push(utf8Decode(buffer.subarray(0, length)).trim());
  }
  const errors = messages.filter((message) => message.startsWith("e ")).map((message) => message.slice(2));
  throw systemCallError(result, operation, object, errors.length > 0 ? errors.join("; ") : undefined);
}

/** What {@link mountSetattr} changes. */
export interface MountChange {
  /** `MOUNT_ATTR_*` bits to set. */
  readonly set?: number;
  /** `MOUNT_ATTR_*` bits to clear; before bits of `MOUNT_ATTR_ATIME` are set, all of them are cleared. */
  readonly clear?: number;
  /** `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE` or `MS_UNBINDABLE`. */
  readonly propagation?: number;
  /** Descriptor of the user namespace whose mapping is applied, with `MOUNT_ATTR_IDMAP` in {@link set}. */
  readonly userNamespace?: number;
}

/**
 * Changes a mount. @param flags `AT_EMPTY_PATH` with an empty path for `dir` itself; `AT_RECURSIVE` for all below it too.
 *
 * Layout: struct mount_attr, four 64-bit words.
 */
export function mountSetattr(dir: DirectoryFd, path: string, flags: number, change: MountChange): void {
  const { set = 0, clear = 0, propagation = 0, userNamespace = 0 } = change;
  const clearsAtime = (set & MOUNT_ATTR_ATIME) !== 0 ? clear | MOUNT_ATTR_ATIME : clear;
  const words = new BigUint64Array([
    BigInt(set),
    BigInt(clearsAtime),
    BigInt(propagation),
    BigInt(userNamespace),
  ]);
  const result = kernel().syscall("mount_setattr", dir, path, flags, words, words.byteLength);
  check(result, "change mount", path === "" ? dir : path);
}
