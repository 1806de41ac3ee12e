/**
 * Files that the host sends in chunks because it shares no file system with the guest.
 *
 * The host is not trusted with the rest of the guest: every path is resolved below the shared directory by the kernel,
 * through no link (CVE-2026-41326), and a link that is made may only lead to a place in that directory.
 */
import { KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { EEXIST } from "../../sys/errno.ts";
import {
  AT_REMOVEDIR,
  fchmod,
  fchown,
  ftruncate,
  mkdirAll,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  open,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { utf8Decode } from "../../sys/utf8.ts";

export interface FileChunk {
  /** Absolute, below the root directory. */
  readonly path: string;
  /** Of the whole file, bytes. */
  readonly fileSize: number;
  /** Type and permissions; no type bits mean a regular file. */
  readonly fileMode: number;
  /** Permissions of directories that are made on the way. */
  readonly directoryMode: number;
  /** −1 leaves the owner as it is. */
  readonly uid: number;
  readonly gid: number;
  /** Where `data` belongs in the file. */
  readonly offset: number;
  readonly data: Uint8Array;
}

/** Longest path, in components. */
const MAX_DEPTH = 64;
/** Longest target of a link, bytes. */
const MAX_LINK_BYTES = 4095;
const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

/** Writes one chunk below `root`, which is made if it is missing. A file appears under its name when it is complete. */
export function copyFile(root: string, chunk: FileChunk): void {
  const components = componentsBelow(root, chunk.path);
  const name = components.pop();
  const kind = chunk.fileMode & S_IFMT;
  mkdirAll(root, 0o755);
  using base = open(root, O_PATH | O_DIRECTORY);
  if (name === undefined) {
    if (kind === S_IFDIR) return;
    throw refusal(chunk.path, "it is the shared directory itself");
  }
  using parent = openDirectories(base.fd, components, chunk.directoryMode & 0o7777);
  switch (kind) {
    case S_IFDIR:
      makeDirectory(parent.fd, name, chunk);
      return;
    case S_IFLNK:
      makeLink(root, components.length, parent.fd, name, chunk);
      return;
    case S_IFREG:
    case 0:
      writeChunk(parent.fd, name, chunk);
      return;
    default:
      throw refusal(chunk.path, "only files, directories and links are copied");
  }
}

/** The components of `path` below `root`. @throws KataError `invalid-argument` if it is not below it. */
export function componentsBelow(root: string, path: string): string[] {
  const prefix = root.endsWith("/") ? root : `${root}/`;
  if (path !== root && !path.startsWith(prefix)) throw refusal(path, `it is not below ${root}`);
  const components = path
    .slice(prefix.length)
    .split("/")
    .filter((component) => component !== "" && component !== ".");
  if (components.includes("..") || path.includes("\0")) throw refusal(path, "it holds '..' or NUL");
  if (components.length > MAX_DEPTH) throw refusal(path, `it has more than ${MAX_DEPTH} components`);
  return components;
}

function refusal(path: string, hint: string): KataError {
  return new KataError("invalid-argument", {
    operation: "copy file",
    object: JSON.stringify(path.slice(0, 256)),
    hint,
  });
}

/** Opens the directory `components` below `base` and makes what is missing. The caller closes it. */
function openDirectories(base: number, components: readonly string[], mode: number): FileDescriptor {
  let current = openat2(base, ".", { flags: O_PATH | O_DIRECTORY, resolve: RESOLVE });
  for (const component of components) {
    using parent = current;
    const made = kernel().syscall("mkdirat", parent.fd, component, mode === 0 ? 0o755 : mode);
    if (made !== -EEXIST) check(made, "make directory", component);
    current = openat2(parent.fd, component, { flags: O_PATH | O_DIRECTORY | O_NOFOLLOW, resolve: RESOLVE });
  }
  return current;
}

function makeDirectory(parent: number, name: string, chunk: FileChunk): void {
  const mode = chunk.fileMode & 0o7777;
  const made = kernel().syscall("mkdirat", parent, name, mode);
  if (made !== -EEXIST) check(made, "make directory", chunk.path);
  using directory = openat2(parent, name, { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve: RESOLVE });
  fchown(directory.fd, chunk.uid, chunk.gid);
  fchmod(directory.fd, mode);
}

/** Makes the link that `data` tells the target of; it replaces another link in one step. */
function makeLink(root: string, depth: number, parent: number, name: string, chunk: FileChunk): void {
  const target = utf8Decode(chunk.data);
  if (chunk.data.length === 0 || chunk.data.length > MAX_LINK_BYTES || target.includes("\0")) {
    throw refusal(chunk.path, "the target of the link has 1 to 4095 bytes and no NUL");
  }
  if (!staysBelow(root, depth, target)) throw refusal(chunk.path, `the link leads out of ${root}`);
  const temporary = `${name}.tmp`;
  kernel().syscall("unlinkat", parent, temporary, 0);
  check(kernel().syscall("symlinkat", target, parent, temporary), "link", chunk.path);
  const NOFOLLOW = 0x100;
  check(
    kernel().syscall("fchownat", parent, temporary, chunk.uid, chunk.gid, NOFOLLOW),
    "change owner",
    chunk.path,
  );
  check(kernel().syscall("renameat2", parent, temporary, parent, name, 0), "link", chunk.path);
}

/** Whether `target`, seen from a directory `depth` levels below `root`, is below `root`. */
export function staysBelow(root: string, depth: number, target: string): boolean {
  if (target.startsWith("/")) {
    return !target.split("/").includes("..") && (target === root || target.startsWith(`${root}/`));
  }
  let level = depth;
  for (const component of target.split("/")) {
    if (component === "..") level--;
    else if (component !== "" && component !== ".") level++;
    if (level < 0) return false;
  }
  return true;
}

function writeChunk(parent: number, name: string, chunk: FileChunk): void {
  const { fileSize, offset, data } = chunk;
  if (offset < 0 || fileSize < 0 || offset + data.length > fileSize) {
    throw refusal(chunk.path, `${data.length} bytes at ${offset} do not fit into ${fileSize}`);
  }
  const temporary = `${name}.tmp`;
  using file = openat2(parent, temporary, {
    flags: O_WRONLY | O_CREAT | O_NOFOLLOW,
    mode: 0o600,
    resolve: RESOLVE,
  });
  if (offset === 0) ftruncate(file.fd, 0);
  let rest = data;
  while (rest.length > 0) {
    const at = offset + data.length - rest.length;
    rest = rest.subarray(check(kernel().syscall("pwrite64", file.fd, rest, rest.length, at), "write", name));
  }
  if (offset + data.length < fileSize) return;
  fchown(file.fd, chunk.uid, chunk.gid);
  fchmod(file.fd, chunk.fileMode & 0o7777);
  // What was there may be a directory that the host replaces by a file; only an empty one gives way.
  const replaced = kernel().syscall("renameat2", parent, temporary, parent, name, 0);
  if (replaced === -21 /* EISDIR */) {
    check(kernel().syscall("unlinkat", parent, name, AT_REMOVEDIR), "replace", chunk.path);
    check(kernel().syscall("renameat2", parent, temporary, parent, name, 0), "rename", chunk.path);
  } else check(replaced, "rename", chunk.path);
}
