/**
 * What programs count on of a file system, as checks in a directory of it. Runs in the engine host; each check throws what is wrong.
 * Sources: POSIX.1-2024, open(2), mmap(2), flock(2), fcntl(2), rename(2), link(2), xattr(7), fsync(2).
 */
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  exists,
  flock,
  ftruncate,
  lstat,
  mkdirAll,
  mkfifo,
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  open,
  readDirectory,
  readlink,
  readTextFile,
  rename,
  stat,
  statx,
  symlink,
  unlinkIfExists,
  writeAll,
  writeFile,
} from "../../src/sys/files.ts";
import { check, kernel } from "../../src/sys/kernel.ts";
import { MemoryMapping, mapAnonymous, mapDevice } from "../../src/sys/memory.ts";
import { clone } from "../../src/sys/process.ts";
import { exit } from "../../src/sys/program.ts";
import { utf8Decode, utf8Encode } from "../../src/sys/utf8.ts";

export type Check = (directory: string) => void;

const PAGE = 4096;
const EEXIST = -17;
const EAGAIN = -11;
const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;
/** fcntl(2): locks of an open file description. */
const F_OFD_SETLK = 37;
const F_WRLCK = 1;
const O_DIRECT = kernel().architecture === "aarch64" ? 0o200000 : 0o40000;
const SMALL_FILES = 300;
const APPENDERS = 4;
const LINES_EACH = 100;

/** In the order in which they run. */
export const CHECKS: Readonly<Record<string, Check>> = {
  "open-unlink": openUnlink,
  "mmap-shared": mmapShared,
  "mmap-private": mmapPrivate,
  flock: flockBetweenProcesses,
  "record-locks": recordLocks,
  rename: renameKeepsItsPromises,
  "hard-links": hardLinks,
  "symbolic-links": symbolicLinks,
  xattr: extendedAttributes,
  fsync: fsyncOfFilesAndDirectories,
  "o-direct": directInputOutput,
  append: appendFromSeveralProcesses,
  truncate: truncateAndHoles,
  "many-small-files": manySmallFiles,
  modes: modesAndTimes,
  fifo: fifos,
};

function openUnlink(directory: string): void {
  const path = `${directory}/file`;
  using file = open(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
  writeAll(file.fd, utf8Encode("before"));
  unlinkIfExists(path);
  equal("it is gone from its directory", exists(path), false);
  writeAll(file.fd, utf8Encode(" and after"));
  equal("an open file can be read", textAt(file.fd), "before and after");
  const { size } = statx(file.fd, "", AT_EMPTY_PATH);
  equal("its size", size, 16);
  writeFile(path, "another");
  equal("a new file of its name is another", textAt(file.fd), "before and after");
}

function mmapShared(directory: string): void {
  const path = `${directory}/file`;
  writeFile(path, "a".repeat(2 * PAGE));
  using file = open(path, O_RDWR);
  using first = mapDevice(file.fd, 2 * PAGE);
  using second = mapDevice(file.fd, 2 * PAGE);
  bytesOf(first).set(utf8Encode("mapped"), PAGE - 3);
  equal("the other mapping has it", utf8Decode(bytesOf(second).subarray(PAGE - 3, PAGE + 3)), "mapped");
  check(kernel().syscall("fsync", file.fd), "flush", path);
  equal("the file has it", textAt(file.fd).slice(PAGE - 3, PAGE + 3), "mapped");
  using writer = open(path, O_WRONLY);
  check(kernel().syscall("pwrite64", writer.fd, utf8Encode("written"), 7, 0), "write", path);
  equal("a mapping has what is written", utf8Decode(bytesOf(first).subarray(0, 7)), "written");
}

function mmapPrivate(directory: string): void {
  const path = `${directory}/file`;
  writeFile(path, "a".repeat(PAGE));
  using file = open(path, O_RDONLY);
  using mapping = mapPrivately(file.fd, PAGE);
  bytesOf(mapping).set(utf8Encode("mine"), 0);
  equal("the mapping has it", utf8Decode(bytesOf(mapping).subarray(0, 5)), "minea");
  equal("the file has not", readTextFile(path), "a".repeat(PAGE));
}

function flockBetweenProcesses(directory: string): void {
  const path = `${directory}/file`;
  writeFile(path, "");
  using mine = open(path, O_RDWR);
  equal("a free lock is taken", flock(mine.fd, "exclusive", false), true);
  const tries = () => {
    using theirs = open(path, O_RDWR);
    return flock(theirs.fd, "exclusive", false);
  };
  equal("another process does not get it", inChild(tries), false);
  check(kernel().syscall("flock", mine.fd, 8), "unlock", path);
  equal("a free lock is taken by another process", inChild(tries), true);
}

function recordLocks(directory: string): void {
  const path = `${directory}/file`;
  writeFile(path, "0123456789");
  using mine = open(path, O_RDWR);
  equal("a free range is locked", lockRange(mine.fd, 0, 5), 0);
  const tries = (start: number, length: number) =>
    inChild(() => {
      using theirs = open(path, O_RDWR);
      return lockRange(theirs.fd, start, length) === EAGAIN;
    });
  equal("another process does not get it", tries(3, 4), true);
  equal("another range is free", tries(5, 5), false);
}

/** struct flock on 64-bit machines. @returns 0 or the negated errno. */
function lockRange(fd: number, start: number, length: number): number {
  const lock = new DataView(new ArrayBuffer(32));
  lock.setInt16(0, F_WRLCK, true);
  lock.setBigInt64(8, BigInt(start), true);
  lock.setBigInt64(16, BigInt(length), true);
  return kernel().syscall("fcntl", fd, F_OFD_SETLK, lock.buffer);
}

function renameKeepsItsPromises(directory: string): void {
  const [a, b] = [`${directory}/a`, `${directory}/b`];
  writeFile(a, "a");
  writeFile(b, "b");
  using replaced = open(b, O_RDONLY);
  rename(a, b);
  equal("the new name has the file", readTextFile(b), "a");
  equal("the old name is free", exists(a), false);
  equal("who had the replaced one open still has it", textAt(replaced.fd), "b");
  writeFile(a, "again");
  equal("a name that is taken is refused", renameAs(a, b, RENAME_NOREPLACE), EEXIST);
  equal("two files change places", renameAs(a, b, RENAME_EXCHANGE), 0);
  equal("after the exchange", `${readTextFile(a)} ${readTextFile(b)}`, "a again");
  mkdirAll(`${directory}/full/inner`);
  rename(`${directory}/full`, `${directory}/moved`);
  equal("a directory moves with what is in it", exists(`${directory}/moved/inner`), true);
}

function renameAs(from: string, to: string, flags: number): number {
  return kernel().syscall("renameat2", AT_FDCWD, from, AT_FDCWD, to, flags);
}

function hardLinks(directory: string): void {
  const [a, b] = [`${directory}/a`, `${directory}/b`];
  writeFile(a, "one");
  check(kernel().syscall("linkat", AT_FDCWD, a, AT_FDCWD, b, 0), "link", b);
  equal("both are one file", stat(a).inode, stat(b).inode);
  writeFile(b, "two");
  equal("what one gets the other has", readTextFile(a), "two");
  unlinkIfExists(a);
  equal("the file lives with its other name", readTextFile(b), "two");
}

function symbolicLinks(directory: string): void {
  symlink("target/over/there", `${directory}/link`);
  equal("a link to nothing tells its text", readlink(`${directory}/link`), "target/over/there");
  writeFile(`${directory}/file`, "found");
  symlink("file", `${directory}/to-file`);
  equal("a link is followed", readTextFile(`${directory}/to-file`), "found");
  equal("and is a link itself", lstat(`${directory}/to-file`).mode & 0o170000, 0o120000);
}

function extendedAttributes(directory: string): void {
  const path = `${directory}/file`;
  writeFile(path, "");
  using file = open(path, O_RDWR);
  const value = utf8Encode("value");
  check(
    kernel().syscall("fsetxattr", file.fd, "user.kata", value, value.length, 0),
    "set attribute of",
    path,
  );
  const got = new Uint8Array(64);
  const length = check(
    kernel().syscall("fgetxattr", file.fd, "user.kata", got, got.length),
    "get attribute of",
    path,
  );
  equal("its value", utf8Decode(got.subarray(0, length)), "value");
  const listed = check(kernel().syscall("flistxattr", file.fd, got, got.length), "list attributes of", path);
  equal("it is listed", utf8Decode(got.subarray(0, listed)).split("\0").includes("user.kata"), true);
}

function fsyncOfFilesAndDirectories(directory: string): void {
  using file = open(`${directory}/file`, O_RDWR | O_CREAT, 0o600);
  writeAll(file.fd, utf8Encode("kept"));
  check(kernel().syscall("fsync", file.fd), "fsync", "file");
  check(kernel().syscall("fdatasync", file.fd), "fdatasync", "file");
  using itself = open(directory, O_RDONLY);
  check(kernel().syscall("fsync", itself.fd), "fsync", "directory");
}

function directInputOutput(directory: string): void {
  using mapping = mapAnonymous(PAGE);
  const page = bytesOf(mapping);
  page.fill(0x5a);
  using file = open(`${directory}/file`, O_RDWR | O_CREAT | O_DIRECT, 0o600);
  equal("a page is written", kernel().syscall("pwrite64", file.fd, page, PAGE, 0), PAGE);
  page.fill(0);
  equal("a page is read", kernel().syscall("pread64", file.fd, page, PAGE, 0), PAGE);
  equal(
    "it is what was written",
    page.every((byte) => byte === 0x5a),
    true,
  );
}

function appendFromSeveralProcesses(directory: string): void {
  const path = `${directory}/log`;
  writeFile(path, "");
  const line = utf8Encode(`${"x".repeat(63)}\n`);
  const children = Array.from({ length: APPENDERS }, () => {
    const child = clone({ flags: 0 });
    if (child.role === "parent") return child;
    using file = open(path, O_WRONLY | O_APPEND);
    for (let count = 0; count < LINES_EACH; count++) writeAll(file.fd, line);
    return exit(0);
  });
  for (const { pid, pidfd } of children) {
    kernel().syscall("wait4", pid, null, 0, null);
    pidfd.close();
  }
  const lines = readTextFile(path)
    .split("\n")
    .filter((text) => text === "x".repeat(63));
  equal("no line is lost or torn", lines.length, APPENDERS * LINES_EACH);
}

function truncateAndHoles(directory: string): void {
  const path = `${directory}/file`;
  writeFile(path, "0123456789");
  using file = open(path, O_RDWR);
  ftruncate(file.fd, 4);
  equal("it is cut", readTextFile(path), "0123");
  check(kernel().syscall("pwrite64", file.fd, utf8Encode("end"), 3, 1 << 20), "write", path);
  equal("it has grown", stat(path).size, (1 << 20) + 3);
  equal("a hole reads as zeros", textAt(file.fd).slice(4, 10), "\0".repeat(6));
  check(kernel().syscall("fallocate", file.fd, 0, 0, 2 << 20), "allocate", path);
  equal("what is allocated counts", stat(path).size, 2 << 20);
}

function manySmallFiles(directory: string): void {
  for (let index = 0; index < SMALL_FILES; index++) writeFile(`${directory}/file-${index}`, `${index}`);
  equal("all are listed", readDirectory(directory).length, SMALL_FILES);
  let sum = 0;
  for (const { name } of readDirectory(directory)) sum += Number(readTextFile(`${directory}/${name}`));
  equal("each has its content", sum, (SMALL_FILES * (SMALL_FILES - 1)) / 2);
  for (const { name } of readDirectory(directory)) unlinkIfExists(`${directory}/${name}`);
  equal("none is left", readDirectory(directory).length, 0);
}

function modesAndTimes(directory: string): void {
  const path = `${directory}/file`;
  writeFile(path, "", 0o640);
  check(kernel().syscall("fchmodat", AT_FDCWD, path, 0o4751, 0), "change mode of", path);
  equal("its mode", stat(path).mode & 0o7777, 0o4751);
  check(kernel().syscall("fchownat", AT_FDCWD, path, 1234, 5678, 0), "change owner of", path);
  equal("its owner", `${stat(path).uid}:${stat(path).gid}`, "1234:5678");
  const times = BigInt64Array.of(1_000_000_000n, 5n, 1_100_000_000n, 7n);
  check(kernel().syscall("utimensat", AT_FDCWD, path, times, 0), "set times of", path);
  equal("its time, s", Math.floor(stat(path).modifiedAt / 1000), 1_100_000_000);
}

function fifos(directory: string): void {
  const path = `${directory}/fifo`;
  mkfifo(path, 0o600);
  using both = open(path, O_RDWR);
  writeAll(both.fd, utf8Encode("through"));
  const got = new Uint8Array(16);
  const count = check(kernel().syscall("read", both.fd, got, got.length), "read", path);
  equal("what is written comes out", utf8Decode(got.subarray(0, count)), "through");
}

/** A copy on write of a file's beginning. */
function mapPrivately(fd: number, length: number): MemoryMapping {
  const [readWrite, isPrivate] = [3, 2];
  const address = kernel().syscall("mmap", null, length, readWrite, isPrivate, fd, 0);
  return new MemoryMapping(check(address, "map", fd), length);
}

function bytesOf(mapping: MemoryMapping): Uint8Array {
  return new Uint8Array(mapping.buffer);
}

/** All of an open file, whatever its position. */
function textAt(fd: number): string {
  const { size } = statx(fd, "", AT_EMPTY_PATH);
  const bytes = new Uint8Array(Number(size));
  const count = check(kernel().syscall("pread64", fd, bytes, bytes.length, 0), "read", fd);
  return utf8Decode(bytes.subarray(0, count));
}

/** `answer` of another process. @throws Error if that has failed. */
function inChild(answer: () => boolean): boolean {
  const child = clone({ flags: 0 });
  if (child.role === "child") {
    try {
      return exit(answer() ? 1 : 0);
    } catch {
      return exit(2);
    }
  }
  const status = new Int32Array(1);
  kernel().syscall("wait4", child.pid, status, 0, null);
  child.pidfd.close();
  const code = ((status[0] ?? 0) >> 8) & 0xff;
  if (code > 1 || status[0] === undefined) throw new Error("another process could not try");
  return code === 1;
}

function equal(what: string, got: unknown, expected: unknown): void {
  if (got === expected) return;
  throw new Error(`${what}: expected ${String(expected).slice(0, 80)}, got ${String(got).slice(0, 80)}`);
}
