/**
 * Filling a new tmpfs with a copy of the directory that it is about to cover (mount option `tmpcopyup`).
 *
 * The directory is the image's: nothing is followed, neither links nor mounts, and everything is reached through the
 * descriptor of the directory that it is in.
 */
import { KataError } from "../../kata-error.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  type FileStatus,
  fchmod,
  fchown,
  makeDevice,
  mkdirat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  openat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  readDirectoryFd,
  readlinkat,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  statx,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";

const MAX_DEPTH = 64;
/** Copied by one call, bytes. */
const CHUNK_BYTES = 1 << 20;
const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;

/** Copies what is in the directory `from` to the directory `to`, with owners and permissions. */
export function copyUp(from: number, to: number): void {
  using source = openat(from, ".", O_RDONLY | O_DIRECTORY);
  using target = openat(to, ".", O_RDONLY | O_DIRECTORY);
  copyDirectory(source.fd, target.fd, 0);
}

function copyDirectory(from: number, to: number, depth: number): void {
  if (depth > MAX_DEPTH) {
    throw new KataError("invalid-argument", {
      operation: "copy directory to tmpfs",
      object: "it is too deep",
    });
  }
  for (const { name } of readDirectoryFd(from, "directory of the image")) {
    const status = statx(from, name, AT_SYMLINK_NOFOLLOW);
    switch (status.mode & S_IFMT) {
      case S_IFDIR: {
        using source = openat2(from, name, { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve: RESOLVE });
        mkdirat(to, name, 0o700);
        using target = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        copyDirectory(source.fd, target.fd, depth + 1);
        takeOver(target.fd, status);
        break;
      }
      case S_IFREG: {
        using source = openat2(from, name, { flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK, resolve: RESOLVE });
        using target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL, 0o600);
        copyContent(source.fd, target.fd);
        takeOver(target.fd, statx(source.fd, "", AT_EMPTY_PATH));
        break;
      }
      case S_IFLNK:
        check(kernel().syscall("symlinkat", readlinkat(from, name), to, name), "copy link", name);
        chownLink(to, name, status);
        break;
      default: {
        const device = makeDevice(status.deviceMajor, status.deviceMinor);
        check(kernel().syscall("mknodat", to, name, status.mode, device), "copy node", name);
        chownLink(to, name, status);
      }
    }
  }
}

function copyContent(from: number, to: number): void {
  while (check(kernel().syscall("sendfile", to, from, null, CHUNK_BYTES), "copy file to tmpfs", from) > 0);
}

function takeOver(fd: number, { uid, gid, mode }: FileStatus): void {
  fchown(fd, uid, gid);
  fchmod(fd, mode & 0o7777);
}

function chownLink(directory: number, name: string, { uid, gid }: FileStatus): void {
  check(kernel().syscall("fchownat", directory, name, uid, gid, AT_SYMLINK_NOFOLLOW), "change owner", name);
}
