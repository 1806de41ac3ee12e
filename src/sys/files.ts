/**
 * Files and directories.
 * Sources: openat(2), openat2(2), statx(2), getdents64(2) and the pages of the calls that functions are named after.
 */
import { KataError } from "../kata-error.ts";
import { FileDescriptor } from "./descriptor.ts";
import { EINTR, ENOENT } from "./errno.ts";
import { check, kernel, systemCallError } from "./kernel.ts";
import { fromCString, utf8Decode, utf8Encode } from "./utf8.ts";

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_EMPTY_PATH = 0x1000;

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NOCTTY = 0o400;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
// These two differ between the architectures.
export const O_DIRECTORY: number = kernel().architecture === "aarch64" ? 0o40000 : 0o200000;
export const O_NOFOLLOW: number = kernel().architecture === "aarch64" ? 0o100000 : 0o400000;

export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

/** Longest path the kernel takes, bytes with its NUL (`PATH_MAX`). */
export const MAX_PATH_BYTES = 4096;

/** A directory to start from: a descriptor's number, or {@link AT_FDCWD}. */
export type DirectoryFd = number;

/** Opens `path` relative to `dir`; `O_CLOEXEC` is always set. @param mode permissions of a new file. */
export function openat(dir: DirectoryFd, path: string, flags: number, mode = 0): FileDescriptor {
  return new FileDescriptor(
    check(kernel().syscall("openat", dir, path, flags | O_CLOEXEC, mode), "open", path),
  );
}

/** {@link openat} from the current directory. */
export function open(path: string, flags: number, mode = 0): FileDescriptor {
  return openat(AT_FDCWD, path, flags, mode);
}

/**
 * Opens `path` under the kernel's control of how it is resolved. `O_CLOEXEC` is always set.
 *
 * @param resolve `RESOLVE_*` flags.
 */
export function openat2(
  dir: DirectoryFd,
  path: string,
  how: { readonly flags: number; readonly mode?: number; readonly resolve: number },
): FileDescriptor {
  return new FileDescriptor(
    check(rawOpenat2(dir, path, how.flags, how.mode ?? 0, how.resolve), "open", path),
  );
}

/** struct open_how: three 64-bit words, little-endian, of which nothing needs the upper halves. One for all calls. */
const openHow = new Uint32Array(6);

/** @returns the descriptor, or the negated errno. */
function rawOpenat2(dir: DirectoryFd, path: string, flags: number, mode: number, resolve: number): number {
  openHow[0] = flags | O_CLOEXEC;
  openHow[2] = mode;
  openHow[4] = resolve;
  return kernel().syscall("openat2", dir, path, openHow, openHow.byteLength);
}

/**
 * Opens a path that somebody else controls as if `root` were `/`: links, `..` and absolute targets stay inside.
 *
 * @throws KataError `invalid-argument` if `path` is empty, too long or holds a NUL; `system-call` with ELOOP if it leads
 * through magic links of /proc.
 */
export function openInRoot(root: DirectoryFd, path: string, flags: number, mode = 0): FileDescriptor {
  checkPathInRoot(path);
  return openat2(root, path, { flags, mode, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS });
}

/** {@link openInRoot}, or undefined if there is nothing. An error costs a guest as much as twenty calls. */
export function openInRootIfThere(
  root: DirectoryFd,
  path: string,
  flags: number,
): FileDescriptor | undefined {
  checkPathInRoot(path);
  const fd = rawOpenat2(root, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  return fd === -ENOENT ? undefined : new FileDescriptor(check(fd, "open", path));
}

function checkPathInRoot(path: string): void {
  if (path === "" || path.length >= MAX_PATH_BYTES || path.includes("\0")) {
    throw new KataError("invalid-argument", {
      operation: "open in root",
      object: JSON.stringify(path.slice(0, 80)),
      hint: `a path has 1 to ${MAX_PATH_BYTES - 1} bytes and no NUL`,
    });
  }
}

/** Reads once. @returns the count, 0 at the end; raw negative errno is thrown. */
export function read(fd: number, into: Uint8Array): number {
  for (;;) {
    const count = kernel().syscall("read", fd, into, into.length);
    if (count !== -EINTR) return check(count, "read", fd);
  }
}

/** Writes all of `bytes` to a blocking descriptor. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  let rest = bytes;
  while (rest.length > 0) {
    const count = kernel().syscall("write", fd, rest, rest.length);
    if (count === -EINTR) continue;
    rest = rest.subarray(check(count, "write", fd));
  }
}

/** Default bound of {@link readFile}, bytes: no file that we read as a whole is near it. */
const DEFAULT_FILE_LIMIT = 16 << 20;

/** The rest of an open file. @throws KataError `oversized-file` beyond `limit` bytes. */
export function readToEnd(fd: number, name: string, limit = DEFAULT_FILE_LIMIT): Uint8Array<ArrayBuffer> {
  let buffer = new Uint8Array(4096);
  let length = 0;
  for (;;) {
    if (length === buffer.length) {
      if (length > limit) {
        throw new KataError("oversized-file", {
          operation: "read",
          object: name,
          hint: `it has more than ${limit} bytes`,
        });
      }
      const larger = new Uint8Array(buffer.length * 4);
      larger.set(buffer);
      buffer = larger;
    }
    const count = kernel().syscall("read", fd, buffer.subarray(length), buffer.length - length);
    if (count === -EINTR) continue;
    if (check(count, "read", name) === 0) return buffer.slice(0, length);
    length += count;
  }
}

/** A whole file. */
export function readFile(path: string, limit = DEFAULT_FILE_LIMIT): Uint8Array<ArrayBuffer> {
  using file = open(path, O_RDONLY);
  return readToEnd(file.fd, path, limit);
}

/** A whole file as text. */
export function readTextFile(path: string, limit = DEFAULT_FILE_LIMIT): string {
  return utf8Decode(readFile(path, limit));
}

/** {@link readTextFile}, or undefined if there is no such file. */
export function readTextFileIfExists(path: string): string | undefined {
  const fd = kernel().syscall("openat", AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd === -ENOENT || fd === -20 /* ENOTDIR */) return undefined;
  using file = new FileDescriptor(check(fd, "open", path));
  return utf8Decode(readToEnd(file.fd, path));
}

/** Writes a whole file, made or truncated. For sysfs, procfs and cgroup files use {@link writeExisting}. */
export function writeFile(path: string, content: string | Uint8Array, mode = 0o600): void {
  using file = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  writeAll(file.fd, typeof content === "string" ? utf8Encode(content) : content);
}

/** Writes a whole file so that a reader sees the old or the new content, never a part; a crash leaves the old. */
export function replaceFile(path: string, content: string | Uint8Array, mode = 0o600): void {
  const temporary = `${path}.tmp`;
  {
    using file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode);
    writeAll(file.fd, typeof content === "string" ? utf8Encode(content) : content);
  }
  rename(temporary, path);
}

/** Writes `value` to a file of the kernel's, in one write(2), as those interfaces need. */
export function writeExisting(path: string, value: string): void {
  using file = open(path, O_WRONLY);
  const bytes = utf8Encode(value);
  check(
    kernel().syscall("write", file.fd, bytes, bytes.length),
    `write ${JSON.stringify(value.trim())} to`,
    path,
  );
}

/** True if something is at `path`; a link is followed. */
export function exists(path: string): boolean {
  return kernel().syscall("faccessat2", AT_FDCWD, path, 0, 0) === 0;
}

/** Makes a directory. @returns false if something is there already. */
export function mkdirIfMissing(path: string, mode = 0o755): boolean {
  const result = kernel().syscall("mkdirat", AT_FDCWD, path, mode);
  if (result === -17 /* EEXIST */) return false;
  check(result, "make directory", path);
  return true;
}

/** Makes a directory and those above it; for paths of our own only: links on the way are followed. */
export function mkdirAll(path: string, mode = 0o755): void {
  if (mkdirResult(path, mode) !== -ENOENT) return;
  const parent = path.replace(/\/+[^/]*\/*$/, "");
  if (parent !== "" && parent !== path) mkdirAll(parent, mode);
  mkdirIfMissing(path, mode);
}

function mkdirResult(path: string, mode: number): number {
  const result = kernel().syscall("mkdirat", AT_FDCWD, path, mode);
  if (result !== -17 && result !== -ENOENT) check(result, "make directory", path);
  return result;
}

export function mkdirat(dir: DirectoryFd, path: string, mode: number): void {
  check(kernel().syscall("mkdirat", dir, path, mode), "make directory", path);
}

/** Removes a file. @returns false if there was none. */
export function unlinkIfExists(path: string): boolean {
  const result = kernel().syscall("unlinkat", AT_FDCWD, path, 0);
  if (result === -ENOENT) return false;
  check(result, "remove file", path);
  return true;
}

/** Removes an empty directory. @returns false if there was none. */
export function rmdirIfExists(path: string): boolean {
  const result = kernel().syscall("unlinkat", AT_FDCWD, path, AT_REMOVEDIR);
  if (result === -ENOENT) return false;
  check(result, "remove directory", path);
  return true;
}

/** Removes a directory that holds nothing. @returns whether it did; one with something in it stays. */
export function removeIfEmpty(path: string): boolean {
  const result = kernel().syscall("unlinkat", AT_FDCWD, path, AT_REMOVEDIR);
  // ENOTEMPTY, EBUSY: something is in it, or mounted on it.
  if (result === -39 || result === -16 || result === -ENOENT) return false;
  check(result, "remove directory", path);
  return true;
}

export function rename(from: string, to: string): void {
  check(kernel().syscall("renameat2", AT_FDCWD, from, AT_FDCWD, to, 0), `rename to ${to}`, from);
}

/** Makes `path` a symbolic link to `target`. */
export function symlink(target: string, path: string): void {
  check(kernel().syscall("symlinkat", target, AT_FDCWD, path), `link to ${target}`, path);
}

/** The target of a symbolic link; with an empty `path`, of the link that `dir` holds (`O_PATH`). */
export function readlinkat(dir: DirectoryFd, path: string): string {
  const buffer = new Uint8Array(MAX_PATH_BYTES);
  const length = check(kernel().syscall("readlinkat", dir, path, buffer, buffer.length), "read link", path);
  return utf8Decode(buffer.subarray(0, length));
}

export function readlink(path: string): string {
  return readlinkat(AT_FDCWD, path);
}

export interface FileStatus {
  /** Type and permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly inode: number;
  /** Bytes. */
  readonly size: number;
  /** Blocks of 512 bytes. */
  readonly blocks: number;
  /** Milliseconds since 1970. */
  readonly modifiedAt: number;
  /** When content or anything of this was changed, which nobody can set; milliseconds since 1970. */
  readonly changedAt: number;
  /** The device that a device node stands for. */
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** The device that the file is on. */
  readonly onMajor: number;
  readonly onMinor: number;
  readonly mountId: number;
}

const STATX_BASIC_STATS = 0x7ff;
const STATX_MNT_ID = 0x1000;

/** What is at `path`. @param flags `AT_SYMLINK_NOFOLLOW`, or `AT_EMPTY_PATH` with an empty path for `dir` itself. */
export function statx(dir: DirectoryFd, path: string, flags = 0): FileStatus {
  return parseStatx(check(statxInto(dir, path, flags), "stat", path === "" ? dir : path));
}

/** Type and permissions of an open file, which are all that most want to know of it. */
export function modeOf(fd: number): number {
  check(statxInto(fd, "", AT_EMPTY_PATH), "stat", fd);
  return statxBuffer.getUint16(MODE_OFFSET, true);
}

export function stat(path: string): FileStatus {
  return statx(AT_FDCWD, path);
}

export function lstat(path: string): FileStatus {
  return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
}

/** {@link statx} from the current directory, or undefined if nothing is there. */
export function statIfExists(path: string, flags = 0): FileStatus | undefined {
  const result = statxInto(AT_FDCWD, path, flags);
  if (result === -ENOENT || result === -20 /* ENOTDIR */) return undefined;
  return parseStatx(check(result, "stat", path));
}

const statxBuffer = new DataView(new ArrayBuffer(256));
const MODE_OFFSET = 28;

function statxInto(dir: DirectoryFd, path: string, flags: number): number {
  return kernel().syscall("statx", dir, path, flags, STATX_BASIC_STATS | STATX_MNT_ID, statxBuffer.buffer);
}

function parseStatx(_checked: number): FileStatus {
  const view = statxBuffer;
  const u64 = (offset: number) =>
    view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
  return {
    links: view.getUint32(16, true),
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    mode: view.getUint16(MODE_OFFSET, true),
    inode: u64(32),
    size: u64(40),
    blocks: u64(48),
    changedAt: u64(96) * 1000 + view.getUint32(104, true) / 1e6,
    modifiedAt: u64(112) * 1000 + view.getUint32(120, true) / 1e6,
    deviceMajor: view.getUint32(128, true),
    deviceMinor: view.getUint32(132, true),
    onMajor: view.getUint32(136, true),
    onMinor: view.getUint32(140, true),
    mountId: u64(144),
  };
}

export interface DirectoryEntry {
  readonly name: string;
  readonly type: "file" | "directory" | "link" | "other";
}

/** The entries of an open directory, without `.` and `..`, in the kernel's order. */
export function readDirectoryFd(fd: number, name: string): DirectoryEntry[] {
  const buffer = new Uint8Array(16 << 10);
  const view = new DataView(buffer.buffer);
  const entries: DirectoryEntry[] = [];
  for (;;) {
    const length = check(kernel().syscall("getdents64", fd, buffer, buffer.length), "list directory", name);
    if (length === 0) return entries;
    for (let at = 0; at < length; ) {
      const recordLength = view.getUint16(at + 16, true);
      const kind = buffer[at + 18];
      const entry = fromCString(buffer.subarray(at + 19, at + recordLength));
      at += recordLength;
      if (entry === "." || entry === "..") continue;
      entries.push({
        name: entry,
        type: kind === 4 ? "directory" : kind === 8 ? "file" : kind === 10 ? "link" : "other",
      });
    }
  }
}

/** The entries of the directory at `path`. */
export function readDirectory(path: string): DirectoryEntry[] {
  using directory = open(path, O_RDONLY | O_DIRECTORY);
  return readDirectoryFd(directory.fd, path);
}

/** Deepest tree that {@link removeTree} goes down. */
const MAX_TREE_DEPTH = 256;

/**
 * Removes `name` in `dir` with all below it. Follows no link and crosses no mount.
 *
 * @throws KataError `system-call` with EXDEV (through EBUSY of the kernel) at a mount point.
 */
export function removeTreeAt(dir: DirectoryFd, name: string, depth = 0): void {
  const result = kernel().syscall("unlinkat", dir, name, 0);
  if (result === 0 || result === -ENOENT) return;
  if (result !== -21 /* EISDIR */ && result !== -1 /* EPERM */) throw systemCallError(result, "remove", name);
  if (depth > MAX_TREE_DEPTH) {
    throw new KataError("invalid-argument", {
      operation: "remove",
      object: name,
      hint: "the tree is too deep",
    });
  }
  {
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    const fd = kernel().syscall(
      "openat2",
      dir,
      name,
      new BigUint64Array([
        BigInt(flags | O_CLOEXEC),
        0n,
        BigInt(RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH),
      ]),
      24,
    );
    using directory = new FileDescriptor(check(fd, "remove", name));
    for (const entry of readDirectoryFd(directory.fd, name))
      removeTreeAt(directory.fd, entry.name, depth + 1);
  }
  check(kernel().syscall("unlinkat", dir, name, AT_REMOVEDIR), "remove directory", name);
}

/** {@link removeTreeAt} for a path of our own. */
export function removeTree(path: string): void {
  const slash = path.lastIndexOf("/");
  const parent = slash > 0 ? path.slice(0, slash) : slash === 0 ? "/" : ".";
  const fd = kernel().syscall("openat", AT_FDCWD, parent, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd === -ENOENT) return;
  using directory = new FileDescriptor(check(fd, "open directory", parent));
  removeTreeAt(directory.fd, path.slice(slash + 1));
}

/** Makes a device node, FIFO or socket. @param mode type and permissions. */
export function mknodat(dir: DirectoryFd, path: string, mode: number, major = 0, minor = 0): void {
  check(kernel().syscall("mknodat", dir, path, mode, makeDevice(major, minor)), "make node", path);
}

/** `dev_t` as the system calls take it. */
export function makeDevice(major: number, minor: number): number {
  return (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12);
}

export function mkfifo(path: string, mode: number): void {
  mknodat(AT_FDCWD, path, S_IFIFO | mode);
}

/** A number of −1 leaves it as it is. */
export function chown(path: string, uid: number, gid: number): void {
  check(kernel().syscall("fchownat", AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW), "change owner", path);
}

export function fchown(fd: number, uid: number, gid: number): void {
  check(kernel().syscall("fchown", fd, uid, gid), "change owner", fd);
}

export function fchmod(fd: number, mode: number): void {
  check(kernel().syscall("fchmod", fd, mode), "change mode", fd);
}

/** Follows a link, as the kernel has no other way before 6.6. */
export function chmod(path: string, mode: number): void {
  check(kernel().syscall("fchmodat", AT_FDCWD, path, mode), "change mode", path);
}

export function ftruncate(fd: number, bytes: number): void {
  check(kernel().syscall("ftruncate", fd, bytes), "set size", fd);
}

export interface FilesystemStatus {
  /** Magic number of the file system (`TMPFS_MAGIC`, …). */
  readonly type: number;
  /** Bytes. */
  readonly blockSize: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly availableBlocks: number;
  readonly files: number;
  readonly freeFiles: number;
}

/** The file system that `path` is on. The layout is the same on all 64-bit architectures. */
export function statfs(path: string): FilesystemStatus {
  const words = new BigInt64Array(15);
  check(kernel().syscall("statfs", path, words), "stat file system of", path);
  const word = (index: number) => Number(words[index]);
  return {
    type: word(0),
    blockSize: word(1),
    blocks: word(2),
    freeBlocks: word(3),
    availableBlocks: word(4),
    files: word(5),
    freeFiles: word(6),
  };
}

/** Magic number of the file system that an open file is on. */
export function filesystemType(fd: number): number {
  const words = new BigInt64Array(15);
  check(kernel().syscall("fstatfs", fd, words), "stat file system of", fd);
  return Number(words[0]);
}

/** Takes a lock on an open file, which its closing gives back. @returns false if another has it and `wait` is false. */
export function flock(fd: number, kind: "shared" | "exclusive", wait: boolean): boolean {
  const result = kernel().syscall("flock", fd, (kind === "shared" ? 1 : 2) | (wait ? 0 : 4));
  if (result === -11 /* EAGAIN */) return false;
  check(result, "lock", fd);
  return true;
}
