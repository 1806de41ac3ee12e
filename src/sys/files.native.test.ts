/** Files and directories on the real kernel: what `core.native.test.ts` leaves out. */
import { hasCode, hasErrno } from "../kata-error.ts";
import { FileDescriptor } from "./descriptor.ts";
import { loop } from "./event-loop.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  chmod,
  chown,
  exists,
  flock,
  ftruncate,
  lstat,
  makeDevice,
  mkdirAll,
  mkdirat,
  mkdirIfMissing,
  mkfifo,
  mknodat,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  open,
  openat,
  openat2,
  openInRoot,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  readDirectory,
  readlinkat,
  readTextFile,
  readToEnd,
  removeTree,
  rename,
  rmdirIfExists,
  S_IFCHR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  stat,
  statfs,
  statIfExists,
  statx,
  symlink,
  unlinkIfExists,
  writeExisting,
  writeFile,
} from "./files.ts";
import { clone, getpid, waitForChild } from "./process.ts";
import { exit } from "./program.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "./testing/native-test.ts";

let directories = 0;

function temporaryDirectory(): { readonly path: string } & Disposable {
  const path = `/tmp/kata-files-test.${getpid()}.${directories++}`;
  mkdirAll(path);
  return {
    path,
    [Symbol.dispose]() {
      removeTree(path);
    },
  };
}

test("readDirectory() lists thousands of entries with long names, each once", () => {
  using place = temporaryDirectory();
  const names = Array.from({ length: 3000 }, (_, index) => `${"n".repeat(index % 200)}-${index}`);
  for (const name of names) writeFile(`${place.path}/${name}`, "");
  mkdirIfMissing(`${place.path}/directory`);
  symlink("x", `${place.path}/link`);
  mkfifo(`${place.path}/fifo`, 0o600);
  const entries = readDirectory(place.path);
  assertEqual(
    entries
      .filter(({ type }) => type === "file")
      .map(({ name }) => name)
      .sort(),
    [...names].sort(),
  );
  const others = entries.filter(({ type }) => type !== "file").sort((a, b) => (a.name < b.name ? -1 : 1));
  assertEqual(others, [
    { name: "directory", type: "directory" },
    { name: "fifo", type: "other" },
    { name: "link", type: "link" },
  ]);
});

test("statx() tells type, size, owner, links and device of what is there", () => {
  using place = temporaryDirectory();
  const path = `${place.path}/file`;
  writeFile(path, "12345", 0o640);
  chown(path, 1234, 5678);
  chmod(path, 0o4751);
  const { mode, uid, gid, links, size } = stat(path);
  assertEqual(
    { mode, uid, gid, links, size },
    { mode: S_IFREG | 0o4751, uid: 1234, gid: 5678, links: 1, size: 5 },
  );
  assert(Math.abs(stat(path).modifiedAt - Date.now()) < 60_000, "it was changed just now");
  symlink("file", `${place.path}/link`);
  assertEqual(stat(`${place.path}/link`).inode, stat(path).inode);
  assert(lstat(`${place.path}/link`).inode !== stat(path).inode, "the link itself is another");
  assertEqual(statx(AT_FDCWD, `${place.path}/link`, AT_SYMLINK_NOFOLLOW).mode & S_IFMT, 0o120000);
  using file = open(path, O_PATH);
  assertEqual(statx(file.fd, "", AT_EMPTY_PATH).inode, stat(path).inode);
  const { deviceMajor, deviceMinor } = stat("/dev/null");
  assertEqual([deviceMajor, deviceMinor], [1, 3]);
  assertEqual(statIfExists(`${place.path}/nothing`), undefined);
  assertEqual(statIfExists(`${path}/below-a-file`), undefined);
});

test("mknodat() makes devices with large numbers, and makeDevice() encodes them as the kernel does", () => {
  using place = temporaryDirectory();
  using directory = open(place.path, O_PATH | O_DIRECTORY);
  mknodat(directory.fd, "device", S_IFCHR | 0o600, 511, 0x12345);
  const { mode, deviceMajor, deviceMinor } = stat(`${place.path}/device`);
  assertEqual([mode & S_IFMT, deviceMajor, deviceMinor], [S_IFCHR, 511, 0x12345]);
  assertEqual([makeDevice(1, 3), makeDevice(8, 0x101)], [0x103, 0x10_0801]);
  mkfifo(`${place.path}/fifo`, 0o644);
  assertEqual(stat(`${place.path}/fifo`).mode, S_IFIFO | (0o644 & ~currentUmask()));
});

function currentUmask(): number {
  return Number.parseInt(/^Umask:\s*(\d+)/m.exec(readTextFile("/proc/self/status"))?.[1] ?? "0", 8);
}

test("openat2() obeys what is forbidden on the way", async () => {
  using place = temporaryDirectory();
  mkdirAll(`${place.path}/root`);
  writeFile(`${place.path}/secret`, "x");
  symlink("../secret", `${place.path}/root/up`);
  symlink("/secret", `${place.path}/root/absolute`);
  using root = open(`${place.path}/root`, O_PATH | O_DIRECTORY);
  const attempts: readonly [string, number, string][] = [
    ["../secret", RESOLVE_BENEATH, "EXDEV"],
    ["up", RESOLVE_BENEATH, "EXDEV"],
    ["absolute", RESOLVE_BENEATH, "EXDEV"],
    ["up", RESOLVE_NO_SYMLINKS, "ELOOP"],
  ];
  for (const [path, resolve, errno] of attempts) {
    await assertThrows(
      () => openat2(root.fd, path, { flags: O_RDONLY, resolve }).close(),
      (error) => hasErrno(error, errno),
      `${errno} for ${path}`,
    );
  }
  writeFile(`${place.path}/root/secret`, "inside");
  using inside = openInRoot(root.fd, "absolute", O_RDONLY);
  assertEqual(new TextOf(inside).text, "inside");
  for (const path of ["", "a\0b", "x".repeat(5000)]) {
    await assertThrows(
      () => openInRoot(root.fd, path, O_RDONLY).close(),
      (error) => hasCode(error, "invalid-argument"),
      `invalid-argument for ${path.length} characters`,
    );
  }
});

class TextOf {
  readonly text: string;
  constructor(file: FileDescriptor) {
    this.text = String.fromCharCode(...readToEnd(file.fd, "file"));
  }
}

test("flock() keeps others out until the file is closed", async () => {
  using place = temporaryDirectory();
  const path = `${place.path}/lock`;
  writeFile(path, "");
  const first = open(path, O_RDONLY);
  using second = open(path, O_RDONLY);
  assertEqual(flock(first.fd, "exclusive", false), true);
  assertEqual([flock(second.fd, "exclusive", false), flock(second.fd, "shared", false)], [false, false]);
  const child = clone({ flags: 0 });
  if (child.role === "child") {
    loop.abandon();
    first.close();
    // Waits until the parent's copy is closed too: a lock belongs to the open file, which both share.
    exit(flock(second.fd, "exclusive", true) ? 0 : 1);
  }
  first.close();
  assertEqual((await waitForChild(child.pidfd, child.pid)).status, 0);
  child.pidfd.close();
});

test("removeTree() removes what is deep and odd, and follows no link", () => {
  using place = temporaryDirectory();
  const tree = `${place.path}/tree`;
  mkdirAll(`${tree}${"/deep".repeat(100)}`);
  writeFile(`${place.path}/kept`, "kept");
  symlink(place.path, `${tree}/out`);
  mkdirAll(`${tree}/no-rights`, 0o000);
  writeFile(`${tree}/odd\nname`, "");
  removeTree(tree);
  assertEqual(exists(tree), false);
  assertEqual(readTextFile(`${place.path}/kept`), "kept");
  removeTree(tree);
  removeTree(`${place.path}/missing/parent`);
});

test("readToEnd() refuses a file beyond its limit", async () => {
  using place = temporaryDirectory();
  using file = open(`${place.path}/large`, O_RDWR | O_CREAT, 0o600);
  ftruncate(file.fd, 1 << 20);
  await assertThrows(
    () => readToEnd(file.fd, "large", 64 << 10),
    (error) => hasCode(error, "oversized-file"),
    "oversized-file",
  );
});

test("small calls do what their names say", async () => {
  using place = temporaryDirectory();
  using directory = open(place.path, O_RDONLY | O_DIRECTORY);
  mkdirat(directory.fd, "made", 0o700);
  assertEqual([mkdirIfMissing(`${place.path}/made`), rmdirIfExists(`${place.path}/made`)], [false, true]);
  assertEqual([rmdirIfExists(`${place.path}/made`), unlinkIfExists(`${place.path}/made`)], [false, false]);
  writeFile(`${place.path}/a`, "a");
  rename(`${place.path}/a`, `${place.path}/b`);
  writeExisting(`${place.path}/b`, "c");
  assertEqual([exists(`${place.path}/a`), readTextFile(`${place.path}/b`)], [false, "c"]);
  symlink("target", `${place.path}/link`);
  using link = openat(directory.fd, "link", O_PATH | O_NOFOLLOW);
  assertEqual([readlinkat(link.fd, ""), readlinkat(directory.fd, "link")], ["target", "target"]);
  const { blockSize, blocks, freeBlocks } = statfs("/proc");
  assertEqual([blockSize > 0, blocks, freeBlocks], [true, 0, 0]);
  await assertThrows(
    () => writeExisting(`${place.path}/missing`, ""),
    (error) => hasErrno(error, "ENOENT"),
    "ENOENT",
  );
});

test("a descriptor is closed once, and never used after that", async () => {
  const file = open("/dev/null", O_WRONLY);
  const number = file.fd;
  file.close();
  using reused = open("/dev/null", O_WRONLY);
  assertEqual(reused.fd, number);
  file.close();
  file[Symbol.dispose]();
  assertEqual(exists(`/proc/self/fd/${number}`), true, "the other descriptor of that number is open");
  await assertThrows(
    () => file.fd,
    (error) => hasCode(error, "closed"),
    "closed",
  );
  const handedOn = open("/dev/null", O_WRONLY);
  new FileDescriptor(handedOn.release()).close();
  assertEqual(handedOn.isOpen, false);
});

runTests();
