/** Both mount APIs on the real kernel, in a mount namespace that ends with this program. */
import { hasCode, hasErrno, type KataError } from "../kata-error.ts";
import { loop } from "./event-loop.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  exists,
  mkdirAll,
  mkdirIfMissing,
  O_DIRECTORY,
  O_PATH,
  open,
  readTextFile,
  readToEnd,
  removeTree,
  rmdirIfExists,
  stat,
  statfs,
  symlink,
  writeFile,
} from "./files.ts";
import {
  MNT_DETACH,
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_REMOUNT,
  MS_SHARED,
  MS_SLAVE,
  mount,
  pivotRoot,
  UMOUNT_NOFOLLOW,
  umount2,
} from "./mount.ts";
import { type MountInfo, readMountInfo } from "./mountinfo.ts";
import { openNamespace, unshare } from "./namespaces.ts";
import {
  AT_RECURSIVE,
  fsconfigCreate,
  fsconfigFlag,
  fsconfigReconfigure,
  fsconfigString,
  fsmount,
  fsopen,
  fspick,
  MOUNT_ATTR_IDMAP,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  mountSetattr,
  moveMount,
  moveMountTo,
  OPEN_TREE_CLONE,
  openTree,
} from "./new-mount-api.ts";
import { pipe } from "./pipe.ts";
import {
  CLONE_NEWNS,
  CLONE_NEWUSER,
  chdir,
  clone,
  getpid,
  pidfdSendSignal,
  SIGKILL,
  waitForChild,
} from "./process.ts";
import { exit } from "./program.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "./testing/native-test.ts";

/** TMPFS_MAGIC of linux/magic.h. */
const TMPFS_MAGIC = 0x01021994;

unshare(CLONE_NEWNS);
mount(null, "/", null, MS_REC | MS_PRIVATE);

let rooms = 0;

/** A tmpfs of its own, unmounted with everything in it at the end of the scope. */
function room(): { readonly path: string } & Disposable {
  const path = `/tmp/kata-mounts-test.${getpid()}.${rooms++}`;
  mkdirAll(path);
  mount("tmpfs", path, "tmpfs", 0, "size=1m");
  return {
    path,
    [Symbol.dispose]() {
      umount2(path, MNT_DETACH);
      rmdirIfExists(path);
    },
  };
}

function directories(root: string, ...names: readonly string[]): string[] {
  return names.map((name) => {
    mkdirIfMissing(`${root}/${name}`);
    return `${root}/${name}`;
  });
}

/** What the kernel says of the topmost mount at `path`. */
function mountAt(path: string): MountInfo | undefined {
  return readMountInfo().findLast(({ mountPoint }) => mountPoint === path);
}

test("mount() makes a file system with flags and data, and umount2() takes it away", () => {
  using place = room();
  const [target = ""] = directories(place.path, "target");
  mount("source", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=0750");
  assertEqual(statfs(target).type, TMPFS_MAGIC);
  assertEqual(stat(target).mode & 0o7777, 0o750);
  const info = mountAt(target);
  assertEqual(info?.source, "source");
  assertEqual(info?.options.slice(0, 4), ["rw", "nosuid", "nodev", "noexec"]);
  assert(info?.superOptions.includes("size=64k") === true, "the size is the file system's");
  umount2(target, UMOUNT_NOFOLLOW);
  assertEqual(mountAt(target), undefined);
});

test("mount() names type, target and errno when the kernel refuses", async () => {
  using place = room();
  const error = await assertThrows(
    () => mount("x", place.path, "no-such-fs", 0),
    (thrown) => hasErrno(thrown, "ENODEV"),
    "ENODEV",
  );
  assertEqual((error as KataError).message, `mount no-such-fs at: ${place.path}: ENODEV`);
});

test("a read-only bind refuses writes that its source takes", async () => {
  using place = room();
  const [source = "", target = ""] = directories(place.path, "source", "target");
  mount(source, target, null, MS_BIND);
  mount(null, target, null, MS_BIND | MS_REMOUNT | MS_RDONLY);
  await assertThrows(
    () => writeFile(`${target}/f`, "x"),
    (error) => hasErrno(error, "EROFS"),
    "EROFS",
  );
  writeFile(`${source}/f`, "through the source");
  assertEqual(readTextFile(`${target}/f`), "through the source");
});

test("a mount propagates from a shared mount to its slave, and not back", () => {
  using place = room();
  const [master = "", slave = ""] = directories(place.path, "master", "slave");
  mount(master, master, null, MS_BIND);
  mount(null, master, null, MS_SHARED);
  mount(master, slave, null, MS_BIND);
  mount(null, slave, null, MS_SLAVE);
  const [below = "", back = ""] = directories(master, "below", "back");
  mount("t", below, "tmpfs", 0);
  writeFile(`${below}/f`, "seen");
  assertEqual(readTextFile(`${slave}/below/f`), "seen");
  mount("t", `${slave}/back`, "tmpfs", 0);
  writeFile(`${slave}/back/f`, "not seen");
  assertEqual(exists(`${back}/f`), false);
});

test("umount2() with UMOUNT_NOFOLLOW refuses a link to a mount", async () => {
  using place = room();
  const [target = ""] = directories(place.path, "target");
  mount("t", target, "tmpfs", 0);
  symlink(target, `${place.path}/link`);
  await assertThrows(
    () => umount2(`${place.path}/link`, UMOUNT_NOFOLLOW),
    (error) => hasErrno(error, "EINVAL"),
    "EINVAL",
  );
  assert(mountAt(target) !== undefined, "the mount is still there");
});

test("pivotRoot() makes a directory the root of a clone's own namespace", async () => {
  using place = room();
  directories(place.path, "new");
  const root = `${place.path}/new`;
  mount("t", root, "tmpfs", 0);
  writeFile(`${root}/mark`, "inside");
  const child = clone({ flags: CLONE_NEWNS });
  if (child.role === "child") {
    loop.abandon();
    chdir(root);
    pivotRoot(".", ".");
    umount2(".", MNT_DETACH);
    chdir("/");
    exit(readTextFile("/mark") === "inside" && !exists("/tmp") ? 0 : 1);
  }
  assertEqual((await waitForChild(child.pidfd, child.pid)).status, 0);
  child.pidfd.close();
  assertEqual(exists("/mark"), false);
});

test("fsopen() to moveMount() put a file system where a descriptor says", () => {
  using place = room();
  const [target = ""] = directories(place.path, "target");
  using context = fsopen("tmpfs");
  fsconfigString(context, "size", "128k");
  fsconfigString(context, "source", "made aside");
  fsconfigCreate(context);
  using made = fsmount(context, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  assertEqual(mountAt(target), undefined);
  using where = open(target, O_PATH | O_DIRECTORY);
  moveMount(made.fd, where.fd);
  const info = mountAt(target);
  assertEqual(info?.source, "made aside");
  assertEqual(info?.options.slice(0, 3), ["rw", "nodev", "noexec"]);
});

test("fsconfig() tells the file system's own words for a bad option", async () => {
  using context = fsopen("tmpfs");
  const error = await assertThrows(
    () => fsconfigString(context, "size", "much"),
    (thrown) => hasErrno(thrown, "EINVAL"),
    "EINVAL",
  );
  assert(
    /tmpfs: Bad value for 'size'/.test((error as KataError).hint ?? ""),
    `the hint tells why, not ${error}`,
  );
});

test("fspick() makes a mounted file system read-only", async () => {
  using place = room();
  {
    using context = fspick(AT_FDCWD, place.path);
    fsconfigFlag(context, "ro");
    fsconfigReconfigure(context);
  }
  await assertThrows(
    () => writeFile(`${place.path}/f`, ""),
    (error) => hasErrno(error, "EROFS"),
    "EROFS",
  );
});

test("a copy of openTree() keeps what was there, and moveMountTo() attaches it", () => {
  using place = room();
  const [source = "", target = ""] = directories(place.path, "source", "target");
  mount("t", source, "tmpfs", 0);
  directories(source, "inner");
  mount("t", `${source}/inner`, "tmpfs", 0);
  writeFile(`${source}/inner/f`, "deep");
  using shallow = openTree(AT_FDCWD, source, OPEN_TREE_CLONE);
  using deep = openTree(AT_FDCWD, source, OPEN_TREE_CLONE | AT_RECURSIVE);
  umount2(source, MNT_DETACH);
  assertEqual(exists(`${source}/inner`), false);
  moveMountTo(shallow.fd, target);
  assertEqual(exists(`${target}/inner/f`), false);
  moveMountTo(deep.fd, source);
  assertEqual(readTextFile(`${source}/inner/f`), "deep");
});

test("mountSetattr() changes one mount, or all below it too", () => {
  using place = room();
  const [source = ""] = directories(place.path, "source");
  mount("t", source, "tmpfs", 0);
  directories(source, "inner");
  mount("t", `${source}/inner`, "tmpfs", 0);
  const flagsOf = (path: string) =>
    mountAt(path)?.options.filter((option) => /^(ro|rw|nosuid|nodev)$/.test(option));
  mountSetattr(AT_FDCWD, source, 0, { set: MOUNT_ATTR_RDONLY });
  assertEqual([flagsOf(source), flagsOf(`${source}/inner`)], [["ro"], ["rw"]]);
  using tree = open(source, O_PATH | O_DIRECTORY);
  const set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  mountSetattr(tree.fd, "", AT_EMPTY_PATH | AT_RECURSIVE, {
    set,
    clear: MOUNT_ATTR_RDONLY,
    propagation: MS_SHARED,
  });
  const both = ["rw", "nosuid", "nodev"];
  assertEqual([flagsOf(source), flagsOf(`${source}/inner`)], [both, both]);
  assert(
    mountAt(`${source}/inner`)?.propagation[0]?.startsWith("shared:") === true,
    "the inner mount is shared",
  );
});

test("mountSetattr() with MOUNT_ATTR_IDMAP shows the files of another user", async () => {
  using place = room();
  const [source = "", target = ""] = directories(place.path, "source", "target");
  writeFile(`${source}/f`, "");
  using ready = pipe();
  // The child's only purpose is to hold a user namespace whose root is the host's user 5000.
  const child = clone({ flags: CLONE_NEWUSER });
  if (child.role === "child") {
    loop.abandon();
    ready.writer.close();
    readToEnd(ready.reader.fd, "pipe");
    exit(0);
  }
  try {
    writeFile(`/proc/${child.pid}/uid_map`, "0 5000 1");
    writeFile(`/proc/${child.pid}/gid_map`, "0 6000 1");
    using users = openNamespace(`/proc/${child.pid}/ns/user`, CLONE_NEWUSER);
    using tree = openTree(AT_FDCWD, source, OPEN_TREE_CLONE);
    mountSetattr(tree.fd, "", AT_EMPTY_PATH, { set: MOUNT_ATTR_IDMAP, userNamespace: users.fd });
    moveMountTo(tree.fd, target);
  } finally {
    pidfdSendSignal(child.pidfd, SIGKILL);
    await waitForChild(child.pidfd, child.pid);
    child.pidfd.close();
  }
  const { uid, gid } = stat(`${target}/f`);
  assertEqual({ uid, gid }, { uid: 5000, gid: 6000 });
});

test("removeTree() stops at a mount and leaves what is in it", async () => {
  using place = room();
  const [tree = ""] = directories(place.path, "tree");
  directories(tree, "mounted");
  mount("t", `${tree}/mounted`, "tmpfs", 0);
  writeFile(`${tree}/mounted/f`, "kept");
  await assertThrows(
    () => removeTree(tree),
    (error) => hasErrno(error, "EXDEV", "EBUSY"),
    "EXDEV",
  );
  assertEqual(readTextFile(`${tree}/mounted/f`), "kept");
});

test("readMountInfo() reads the names that the kernel escapes", () => {
  using place = room();
  const [odd = ""] = directories(place.path, "a b\tc\\d\ne#f");
  mount("with space", odd, "tmpfs", 0);
  assertEqual(mountAt(odd)?.source, "with space");
});

test("a closed mount descriptor cannot be used", async () => {
  const context = fsopen("tmpfs");
  context.close();
  await assertThrows(
    () => fsconfigCreate(context),
    (error) => hasCode(error, "closed"),
    "closed",
  );
});

runTests();
