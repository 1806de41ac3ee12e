/**
 * Namespaces: making, joining, keeping them by a file.
 * Sources: namespaces(7), unshare(2), setns(2), ioctl_ns(2).
 */
import { KataError } from "../kata-error.ts";
import type { FileDescriptor } from "./descriptor.ts";
import { O_CREAT, O_EXCL, O_NOCTTY, O_NONBLOCK, O_RDONLY, open, unlinkIfExists } from "./files.ts";
import { check, kernel } from "./kernel.ts";
import { MNT_DETACH, MS_BIND, mount, UMOUNT_NOFOLLOW, umount2 } from "./mount.ts";
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
} from "./process.ts";

const NS_GET_NSTYPE = 0xb703;

/** Names in /proc/<pid>/ns by flag. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [CLONE_NEWNS, "mnt"],
  [CLONE_NEWCGROUP, "cgroup"],
  [CLONE_NEWUTS, "uts"],
  [CLONE_NEWIPC, "ipc"],
  [CLONE_NEWUSER, "user"],
  [CLONE_NEWPID, "pid"],
  [CLONE_NEWNET, "net"],
  [CLONE_NEWTIME, "time"],
]);

/** The file of /proc that stands for this process's namespace. @param type one `CLONE_NEW*` flag. */
export function ownNamespacePath(type: number): string {
  return `/proc/self/ns/${NAMES.get(type) ?? "unknown"}`;
}

/** Moves this process into new namespaces. @param flags `CLONE_NEW*` flags. */
export function unshare(flags: number): void {
  check(kernel().syscall("unshare", flags), "make namespaces", `flags 0x${flags.toString(16)}`);
}

/**
 * Moves this process into a namespace.
 *
 * @param fd a file of a namespace, or a pidfd to join several at once.
 * @param type `CLONE_NEW*` flags: what `fd` has to be, or which namespaces of a pidfd are joined.
 */
export function setns(fd: number, type: number): void {
  check(kernel().syscall("setns", fd, type), `join ${NAMES.get(type) ?? "several"} namespace`, fd);
}

/**
 * Opens a namespace's file and checks that it is one.
 *
 * @param type one `CLONE_NEW*` flag.
 * @throws KataError `invalid-argument` if the file is no namespace, or one of another type.
 */
export function openNamespace(path: string, type: number): FileDescriptor {
  // Somebody else's path may be a FIFO or a terminal: neither shall do anything to us.
  const file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  const actual = kernel().syscall("ioctl", file.fd, NS_GET_NSTYPE, 0);
  if (actual === type) return file;
  file.close();
  throw new KataError("invalid-argument", {
    operation: `open ${NAMES.get(type) ?? "?"} namespace`,
    object: path,
    hint: actual < 0 ? "it is no file of a namespace" : `it is a ${NAMES.get(actual) ?? "foreign"} namespace`,
  });
}

/**
 * Keeps a namespace alive by a file: makes `path` and mounts the namespace there.
 *
 * @throws KataError `system-call` with EEXIST if `path` is there already.
 */
export function persistNamespace(namespace: number, path: string): void {
  open(path, O_RDONLY | O_CREAT | O_EXCL, 0o444).close();
  try {
    mount(`/proc/self/fd/${namespace}`, path, null, MS_BIND);
  } catch (error) {
    unlinkIfExists(path);
    throw error;
  }
}

/** Takes back {@link persistNamespace}; what still uses the namespace goes on. */
export function unpersistNamespace(path: string): void {
  umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
  unlinkIfExists(path);
}

/**
 * Runs `action` in another namespace and comes back, also if it fails.
 *
 * Nothing else of this program runs meanwhile, so `action` must not wait. Not for mount namespaces, where the working
 * directory is lost too.
 *
 * @param namespace its descriptor.
 * @param type one `CLONE_NEW*` flag.
 * @throws KataError `internal` if there is no way back; the process is of no use then.
 */
export function inNamespace<T>(namespace: number, type: number, action: () => T): T {
  using home = open(ownNamespacePath(type), O_RDONLY);
  setns(namespace, type);
  try {
    return action();
  } finally {
    goHome(home.fd, type);
  }
}

function goHome(home: number, type: number): void {
  try {
    setns(home, type);
  } catch (cause) {
    throw new KataError("internal", {
      operation: "leave namespace",
      object: ownNamespacePath(type),
      hint: "this process has to end",
      cause,
    });
  }
}

/** {@link inNamespace} by path. */
export function withNamespace<T>(path: string, type: number, action: () => T): T {
  using namespace = openNamespace(path, type);
  return inNamespace(namespace.fd, type, action);
}
