import { hasCode, hasErrno, type KataError } from "../kata-error.ts";
import { CancelSource } from "./cancellation.ts";
import { sleep, withDeadline } from "./clock.ts";
import { FileDescriptor } from "./descriptor.ts";
import { loop } from "./event-loop.ts";
import { FdStream, readExactly } from "./fd-stream.ts";
import {
  exists,
  lstat,
  mkdirAll,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  open,
  openInRoot,
  readDirectory,
  readFile,
  readlink,
  readTextFile,
  readTextFileIfExists,
  readToEnd,
  removeTree,
  replaceFile,
  symlink,
  writeAll,
  writeFile,
} from "./files.ts";
import { bytesWaiting, pipe } from "./pipe.ts";
import {
  clone,
  closeFrom,
  duplicate,
  getpid,
  getppid,
  kill,
  listenForSignals,
  SIGKILL,
  SIGTERM,
  SIGUSR1,
  waitForChild,
} from "./process.ts";
import { exit, writeSync } from "./program.ts";
import {
  accept,
  connect,
  listen,
  peerCredentials,
  receiveWithDescriptors,
  sendWithDescriptors,
  socketPair,
} from "./socket.ts";
import { spawn } from "./spawn.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "./testing/native-test.ts";
import { utf8Decode, utf8Encode } from "./utf8.ts";

let directories = 0;

/** A new directory that is removed at the end of the scope. */
function temporaryDirectory(): { readonly path: string } & Disposable {
  const path = `/tmp/kata-sys-test.${getpid()}.${directories++}`;
  mkdirAll(path);
  return {
    path,
    [Symbol.dispose]() {
      removeTree(path);
    },
  };
}

test("sleep() lasts as long as it says and timers fire in order", async () => {
  const started = loop.now();
  const order: number[] = [];
  loop.after(30, () => order.push(30));
  loop.after(10, () => order.push(10));
  loop.after(20, () => order.push(20)).cancel();
  await sleep(loop, 40);
  assertEqual(order, [10, 30]);
  assert(loop.now() - started >= 40, "40 ms have passed");
});

test("a thousand timers with most cancelled leave the rest working", async () => {
  let fired = 0;
  const timers = Array.from({ length: 1000 }, (_, index) => loop.after(5 + (index % 7), () => fired++));
  timers.forEach((timer, index) => {
    if (index % 10 !== 0) timer.cancel();
  });
  await sleep(loop, 30);
  assertEqual(fired, 100);
});

test("withDeadline() gives up on work that takes too long", async () => {
  await assertThrows(
    () => withDeadline(loop, 5, { operation: "wait", object: "nothing" }, sleep(loop, 50)),
    (error) => hasCode(error, "deadline-exceeded"),
    "deadline-exceeded",
  );
});

test("a pipe carries bytes and readable() can be cancelled", async () => {
  using ends = pipe();
  const cancel = new CancelSource();
  loop.after(5, () => cancel.cancel());
  await assertThrows(
    () => loop.readable(ends.reader.fd, cancel.signal),
    (error) => hasCode(error, "cancelled"),
    "cancelled",
  );
  const reader = new FdStream(new FileDescriptor(ends.reader.release()));
  using writer = new FdStream(new FileDescriptor(ends.writer.release()));
  const sent = new Uint8Array(1 << 20).map((_, index) => index % 251);
  const [received] = await Promise.all([readExactly(reader, sent.length), writer.write(sent)]);
  assertEqual(utf8Decode(received.subarray(0, 3)), utf8Decode(sent.subarray(0, 3)));
  assert(
    received.every((byte, index) => byte === sent[index]),
    "all bytes arrive in order",
  );
  reader.close();
});

test("bytesWaiting() tells what a pipe holds, also when its writer is gone", () => {
  using ends = pipe();
  assertEqual(bytesWaiting(ends.reader.fd), 0);
  writeAll(ends.writer.fd, new Uint8Array(3000));
  assertEqual(bytesWaiting(ends.reader.fd), 3000);
  ends.writer.close();
  readToEnd(ends.reader.fd, "pipe");
  assertEqual(bytesWaiting(ends.reader.fd), 0);
});

test("writes are sent whole and in the order of the calls", async () => {
  const pair = socketPair();
  using ours = new FdStream(pair.ours);
  using theirs = new FdStream(pair.theirs);
  const chunks = [1, 2, 3].map((value) => new Uint8Array(400_000).fill(value));
  const writes = chunks.map((chunk) => ours.write(chunk));
  const received = await readExactly(theirs, 1_200_000);
  await Promise.all(writes);
  assertEqual([received[0], received[399_999], received[400_000], received[1_199_999]], [1, 1, 2, 3]);
});

test("close() ends a waiting read with closed", async () => {
  const pair = socketPair();
  using theirs = pair.theirs;
  const ours = new FdStream(pair.ours);
  loop.after(5, () => ours.close());
  await assertThrows(
    () => ours.read(new Uint8Array(1)),
    (error) => hasCode(error, "closed"),
    "closed",
  );
  assert(theirs.isOpen, "the other end is still ours");
});

test("files are written, replaced, listed, linked and removed", () => {
  using directory = temporaryDirectory();
  const path = `${directory.path}/a`;
  writeFile(path, "one");
  replaceFile(path, "zwei ä", 0o640);
  assertEqual(readTextFile(path), "zwei ä");
  assertEqual(lstat(path).mode & 0o7777, 0o640);
  assertEqual(lstat(path).size, 7);
  symlink("a", `${directory.path}/l`);
  assertEqual(readlink(`${directory.path}/l`), "a");
  mkdirAll(`${directory.path}/d/e/f`);
  const names = readDirectory(directory.path).map((entry) => `${entry.name} ${entry.type}`);
  assertEqual(names.sort(), ["a file", "d directory", "l link"]);
  assertEqual(readTextFileIfExists(`${directory.path}/none`), undefined);
  removeTree(`${directory.path}/d`);
  assert(!exists(`${directory.path}/d`), "the tree is gone");
});

test("removeTree() removes links themselves, never what they point to", () => {
  using directory = temporaryDirectory();
  mkdirAll(`${directory.path}/kept`);
  writeFile(`${directory.path}/kept/file`, "x");
  mkdirAll(`${directory.path}/tree`);
  symlink(`${directory.path}/kept`, `${directory.path}/tree/link`);
  removeTree(`${directory.path}/tree`);
  assertEqual(readTextFile(`${directory.path}/kept/file`), "x");
});

test("openInRoot() keeps absolute links and .. inside of the root", async () => {
  using directory = temporaryDirectory();
  mkdirAll(`${directory.path}/root/etc`);
  writeFile(`${directory.path}/root/etc/passwd`, "inside");
  symlink("/etc/passwd", `${directory.path}/root/absolute`);
  symlink("../../../../etc/passwd", `${directory.path}/root/relative`);
  symlink("/proc/self/root", `${directory.path}/root/magic`);
  using root = open(`${directory.path}/root`, O_PATH | O_DIRECTORY);
  for (const path of ["absolute", "relative", "/etc/passwd", "../etc/passwd"]) {
    using file = openInRoot(root.fd, path, O_RDONLY);
    assertEqual(utf8Decode(readToEnd(file.fd, path)), "inside", path);
  }
  await assertThrows(
    () => openInRoot(root.fd, "magic/etc/passwd", O_RDONLY),
    (error) => hasErrno(error, "ENOENT", "ELOOP"),
    "a refusal",
  );
  await assertThrows(
    () => openInRoot(root.fd, "a\0b", O_RDONLY),
    (error) => hasCode(error, "invalid-argument"),
    "invalid-argument",
  );
});

test("an error names the operation, the object and the errno", async () => {
  const error = (await assertThrows(
    () => readFile("/nonexistent/file"),
    (thrown) => hasErrno(thrown, "ENOENT"),
    "ENOENT",
  )) as KataError;
  assertEqual([error.code, error.message], ["system-call", "open: /nonexistent/file: ENOENT"]);
});

test("clone() gives a child with the same heap, whose exit status arrives", async () => {
  const marker = { value: 41 };
  const parent = getpid();
  const child = clone({ flags: 0 });
  if (child.role === "child") {
    loop.abandon();
    marker.value++;
    exit(getppid() === parent ? marker.value : 1);
  }
  assertEqual(await waitForChild(child.pidfd, child.pid), { pid: child.pid, status: 42 });
  child.pidfd.close();
  assertEqual(marker.value, 41);
});

test("spawn() runs a program with just the descriptors it was given", async () => {
  using output = pipe();
  using extra = duplicate(0);
  const child = await spawn({
    path: "/bin/ls",
    args: ["ls", "/proc/self/fd"],
    environment: [],
    descriptors: ["null", output.writer.fd, 2],
  });
  output.writer.close();
  const text = utf8Decode(readToEnd(output.reader.fd, "pipe"));
  assertEqual((await child.exited).status, 0);
  // 3 is the directory that ls reads.
  assertEqual(text, "0\n1\n2\n3\n");
  assert(extra.isOpen, "the descriptor stays open here");
});

test("spawn() tells why a program cannot be started", async () => {
  await assertThrows(
    () => spawn({ path: "/nonexistent", args: ["x"], environment: [], descriptors: [] }),
    (error) => hasErrno(error, "ENOENT"),
    "ENOENT",
  );
  await assertThrows(
    () => spawn({ path: "/etc/passwd", args: ["x"], environment: [], descriptors: ["null", "null", "null"] }),
    (error) => hasErrno(error, "EACCES"),
    "EACCES",
  );
});

test("a killed child reports 128 + signal, and its parent's death can kill it", async () => {
  const child = await spawn({
    path: "/bin/sleep",
    args: ["sleep", "100"],
    environment: [],
    descriptors: ["null", "null", "null"],
    parentDeathSignal: SIGKILL,
  });
  assert(child.kill(SIGTERM), "the signal is sent");
  assertEqual((await child.exited).status, 143);
  assertEqual(child.kill(SIGTERM), false);

  using ids = pipe();
  const middle = clone({ flags: 0 });
  if (middle.role === "child") {
    loop.abandon();
    // The loop runs on in this copy until the grandchild is started, then this process ends without a word to it.
    spawn({
      path: "/bin/sleep",
      args: ["sleep", "100"],
      environment: [],
      descriptors: ["null", "null", "null"],
      parentDeathSignal: SIGKILL,
    }).then((grandchild) => {
      writeSync(ids.writer.fd, `${grandchild.pid}\n`);
      exit(0);
    });
    await new Promise(() => undefined);
    return;
  }
  ids.writer.close();
  await waitForChild(middle.pidfd, middle.pid);
  const grandchild = Number(utf8Decode(readToEnd(ids.reader.fd, "pipe")).trim());
  assert(grandchild > 1, "the grandchild was started");
  for (let tries = 0; tries < 200 && kill(grandchild, 0); tries++) {
    if (readTextFileIfExists(`/proc/${grandchild}/stat`)?.includes(") Z ") !== false) break;
    await sleep(loop, 10);
  }
  const state = readTextFileIfExists(`/proc/${grandchild}/stat`);
  assert(state === undefined || state.includes(") Z "), `the grandchild is gone, not ${state}`);
});

test("signals arrive through listenForSignals() until it is disposed of", async () => {
  const got: number[] = [];
  {
    using _listener = listenForSignals([SIGUSR1], (signal) => got.push(signal));
    kill(getpid(), SIGUSR1);
    await sleep(loop, 10);
  }
  assertEqual(got, [SIGUSR1]);
});

test("UNIX sockets connect, tell the peer and pass descriptors", async () => {
  using directory = temporaryDirectory();
  const address = { kind: "unix", path: `${directory.path}/s` } as const;
  using listener = listen(address);
  const [client, server] = await Promise.all([connect(address), accept(listener)]);
  assertEqual(peerCredentials(server.fd).pid, getpid());
  writeFile(`${directory.path}/f`, "through the socket");
  using file = open(`${directory.path}/f`, O_RDONLY);
  await sendWithDescriptors(client, utf8Encode("hi"), [file.fd]);
  const buffer = new Uint8Array(10);
  const { count, descriptors } = await receiveWithDescriptors(server, buffer);
  assertEqual(utf8Decode(buffer.subarray(0, count)), "hi");
  assertEqual(descriptors.length, 1);
  using received = descriptors[0] ?? new FileDescriptor(-1);
  assertEqual(utf8Decode(readToEnd(received.fd, "f")), "through the socket");
  client.close();
  assertEqual(await server.read(buffer), 0);
  server.close();
});

test("connect() to a socket that nobody listens at says so", async () => {
  await assertThrows(
    () => connect({ kind: "unix", path: "/nonexistent/socket" }),
    (error) => hasErrno(error, "ENOENT"),
    "ENOENT",
  );
});

test("closeFrom() leaves the lower descriptors open", async () => {
  const child = clone({ flags: 0 });
  if (child.role === "child") {
    loop.abandon();
    duplicate(0, 50);
    closeFrom(3);
    const open = [0, 1, 2, 3, 50].filter((fd) => exists(`/proc/self/fd/${fd}`));
    exit(open.length === 3 ? 0 : 1);
  }
  assertEqual((await waitForChild(child.pidfd, child.pid)).status, 0);
  child.pidfd.close();
});

runTests();
