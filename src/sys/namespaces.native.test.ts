/** Namespaces, and clones in new ones, on the real kernel. Needs root. */
import { hasCode, hasErrno } from "../kata-error.ts";
import { loop } from "./event-loop.ts";
import {
  exists,
  mkdirAll,
  mkfifo,
  O_RDONLY,
  open,
  readDirectory,
  readlink,
  readToEnd,
  removeTree,
  stat,
} from "./files.ts";
import { setdomainname, sethostname, uname } from "./host.ts";
import { MS_PRIVATE, MS_REC, mount } from "./mount.ts";
import {
  inNamespace,
  openNamespace,
  ownNamespacePath,
  persistNamespace,
  setns,
  unpersistNamespace,
  unshare,
  withNamespace,
} from "./namespaces.ts";
import { pipe } from "./pipe.ts";
import {
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  clone,
  getpid,
  pidfdOpen,
  waitForChild,
} from "./process.ts";
import { exit, writeSync } from "./program.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "./testing/native-test.ts";
import { utf8Decode } from "./utf8.ts";

unshare(CLONE_NEWNS);
mount(null, "/", null, MS_REC | MS_PRIVATE);

/** Runs `body` in a clone and gives back what it returns as text. */
async function inClone(flags: number, body: () => string): Promise<string> {
  using answer = pipe();
  const child = clone({ flags });
  if (child.role === "child") {
    loop.abandon();
    writeSync(answer.writer.fd, body());
    exit(0);
  }
  answer.writer.close();
  const text = utf8Decode(readToEnd(answer.reader.fd, "answer"));
  assertEqual((await waitForChild(child.pidfd, child.pid)).status, 0, "status of the clone");
  child.pidfd.close();
  return text;
}

test("a clone in new namespaces is process 1 with a host name of its own", async () => {
  const before = uname();
  const text = await inClone(CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET, () => {
    sethostname("inside");
    setdomainname("domain");
    const { hostname, domain } = uname();
    return [getpid(), hostname, domain].join(" ");
  });
  assertEqual(text, "1 inside domain");
  assertEqual(uname(), before);
});

test("inNamespace() comes back, also when its action throws", async () => {
  const home = readlink(ownNamespacePath(CLONE_NEWUTS));
  const parent = pipe();
  const child = clone({ flags: CLONE_NEWUTS });
  if (child.role === "child") {
    loop.abandon();
    parent.writer.close();
    sethostname("elsewhere");
    readToEnd(parent.reader.fd, "pipe");
    exit(0);
  }
  try {
    using other = openNamespace(`/proc/${child.pid}/ns/uts`, CLONE_NEWUTS);
    const inside = inNamespace(other.fd, CLONE_NEWUTS, () => readlink(ownNamespacePath(CLONE_NEWUTS)));
    assertEqual(inside, readlink(`/proc/${child.pid}/ns/uts`));
    assertEqual(readlink(ownNamespacePath(CLONE_NEWUTS)), home);
    await assertThrows(
      () =>
        inNamespace(other.fd, CLONE_NEWUTS, () => {
          throw new RangeError("inside");
        }),
      (error) => error instanceof RangeError,
      "the action's error",
    );
    assertEqual(readlink(ownNamespacePath(CLONE_NEWUTS)), home);
  } finally {
    parent[Symbol.dispose]();
    await waitForChild(child.pidfd, child.pid);
    child.pidfd.close();
  }
});

test("a namespace outlives its processes in a file, until that is taken away", async () => {
  const directory = `/tmp/kata-ns-test.${getpid()}`;
  const path = `${directory}/uts`;
  mkdirAll(directory);
  try {
    const inode = await inClone(CLONE_NEWUTS, () => {
      sethostname("kept");
      using own = open(ownNamespacePath(CLONE_NEWUTS), O_RDONLY);
      persistNamespace(own.fd, path);
      return String(stat(path).inode);
    });
    assertEqual(String(stat(path).inode), inode);
    assertEqual(
      withNamespace(path, CLONE_NEWUTS, () => uname().hostname),
      "kept",
    );
    await assertThrows(
      () => {
        using own = open(ownNamespacePath(CLONE_NEWUTS), O_RDONLY);
        persistNamespace(own.fd, path);
      },
      (error) => hasErrno(error, "EEXIST"),
      "EEXIST",
    );
    unpersistNamespace(path);
    assertEqual(exists(path), false);
  } finally {
    if (exists(path)) unpersistNamespace(path);
    removeTree(directory);
  }
});

test("setns() of a pidfd joins several namespaces at once", async () => {
  const parent = pipe();
  const other = clone({ flags: CLONE_NEWUTS | CLONE_NEWIPC });
  if (other.role === "child") {
    loop.abandon();
    parent.writer.close();
    readToEnd(parent.reader.fd, "pipe");
    exit(0);
  }
  try {
    const text = await inClone(0, () => {
      using pidfd = pidfdOpen(other.pid);
      setns(pidfd.fd, CLONE_NEWUTS | CLONE_NEWIPC);
      return [CLONE_NEWUTS, CLONE_NEWIPC].map((type) => readlink(ownNamespacePath(type))).join(" ");
    });
    assertEqual(text, [`uts`, `ipc`].map((name) => readlink(`/proc/${other.pid}/ns/${name}`)).join(" "));
  } finally {
    parent[Symbol.dispose]();
    await waitForChild(other.pidfd, other.pid);
    other.pidfd.close();
  }
});

test("openNamespace() refuses what is no namespace, or one of another type", async () => {
  const directory = `/tmp/kata-ns-test.${getpid()}`;
  mkdirAll(directory);
  try {
    mkfifo(`${directory}/fifo`, 0o600);
    const refused = [`${directory}/fifo`, "/etc/passwd", "/dev/null", ownNamespacePath(CLONE_NEWIPC)];
    const before = readDirectory("/proc/self/fd").length;
    for (const path of refused) {
      await assertThrows(
        () => openNamespace(path, CLONE_NEWNET),
        (error) => hasCode(error, "invalid-argument"),
        `invalid-argument for ${path}`,
      );
    }
    assertEqual(readDirectory("/proc/self/fd").length, before, "open descriptors");
  } finally {
    removeTree(directory);
  }
});

test("a clone in a new user namespace has no right outside of it", async () => {
  const text = await inClone(CLONE_NEWUSER, () => {
    try {
      sethostname("nobody may");
      return "changed";
    } catch (error) {
      return hasErrno(error, "EPERM") ? "refused" : String(error);
    }
  });
  assertEqual(text, "refused");
});

test("ownNamespacePath() names all types", () => {
  const types = [CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET];
  for (const type of types) assert(exists(ownNamespacePath(type)), `${ownNamespacePath(type)} exists`);
});

runTests();
