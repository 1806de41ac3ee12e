/** Terminals on the real kernel. */
import { hasErrno } from "../kata-error.ts";
import { sleep, withDeadline } from "./clock.ts";
import { FileDescriptor } from "./descriptor.ts";
import { loop } from "./event-loop.ts";
import { FdStream } from "./fd-stream.ts";
import { O_RDWR, open, read, writeAll } from "./files.ts";
import { pipe } from "./pipe.ts";
import {
  clone,
  duplicate,
  listenForSignals,
  pidfdSendSignal,
  SIGKILL,
  SIGWINCH,
  setsid,
  waitForChild,
} from "./process.ts";
import { writeSync } from "./program.ts";
import { spawn } from "./spawn.ts";
import {
  getWindowSize,
  isTerminal,
  openTerminal,
  setControllingTerminal,
  setRawMode,
  setWindowSize,
} from "./terminal.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "./testing/native-test.ts";
import { utf8Decode, utf8Encode } from "./utf8.ts";

/** What `stream` gives until `end` comes, at most 2 s. */
async function readUntil(stream: FdStream, end: string): Promise<string> {
  const bytes = new Uint8Array(1024);
  let text = "";
  while (!text.includes(end)) {
    const what = { operation: "read terminal", object: JSON.stringify(text) };
    const count = await withDeadline(loop, 2000, what, stream.read(bytes));
    if (count === 0) break;
    text += utf8Decode(bytes.subarray(0, count));
  }
  return text;
}

test("a terminal turns line ends and echoes what is typed", async () => {
  const { master, slave } = openTerminal();
  using ours = new FdStream(master);
  using theirs = slave;
  writeAll(theirs.fd, utf8Encode("out\n"));
  assertEqual(await readUntil(ours, "\n"), "out\r\n");
  await ours.write(utf8Encode("in\r"));
  assertEqual(await readUntil(ours, "\n"), "in\r\n");
  const line = new Uint8Array(16);
  assertEqual(utf8Decode(line.subarray(0, read(theirs.fd, line))), "in\n");
});

test("setRawMode() lets every byte through until it is disposed of", async () => {
  const { master, slave } = openTerminal();
  using ours = new FdStream(master);
  using theirs = slave;
  {
    using _raw = setRawMode(theirs.fd);
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    writeAll(theirs.fd, all);
    const out = new Uint8Array(256);
    for (let at = 0; at < 256; ) at += await ours.read(out.subarray(at));
    assertEqual(out, all);
    await ours.write(all);
    const got = new Uint8Array(256);
    for (let at = 0; at < 256; ) at += read(theirs.fd, got.subarray(at));
    assertEqual(got, all);
  }
  writeAll(theirs.fd, utf8Encode("\n"));
  assertEqual(await readUntil(ours, "\n"), "\r\n");
});

test("the window's size is what was set, on both sides", () => {
  const { master, slave } = openTerminal();
  using ours = master;
  using theirs = slave;
  assertEqual(getWindowSize(theirs.fd), { rows: 0, columns: 0 });
  setWindowSize(ours.fd, { rows: 50, columns: 132 });
  assertEqual(getWindowSize(theirs.fd), { rows: 50, columns: 132 });
});

test("isTerminal() knows a terminal from a pipe and a device", () => {
  const { master, slave } = openTerminal();
  using ours = master;
  using theirs = slave;
  using ends = pipe();
  using nothing = open("/dev/null", O_RDWR);
  assertEqual([ours.fd, theirs.fd, ends.reader.fd, nothing.fd].map(isTerminal), [true, true, false, false]);
});

test("setWindowSize() on what is no terminal fails with ENOTTY", async () => {
  using ends = pipe();
  await assertThrows(
    () => setWindowSize(ends.reader.fd, { rows: 1, columns: 1 }),
    (error) => hasErrno(error, "ENOTTY"),
    "ENOTTY",
  );
});

test("a session's controlling terminal brings it SIGWINCH, and SIGHUP at its end", async () => {
  const { master, slave } = openTerminal();
  using ready = pipe();
  const child = clone({ flags: 0 });
  if (child.role === "child") {
    loop.abandon();
    master.close();
    setsid();
    setControllingTerminal(slave.fd);
    const tell = ready.writer.fd;
    listenForSignals([SIGWINCH], () => writeSync(tell, `${getWindowSize(slave.fd).rows}\n`));
    writeSync(tell, "ready\n");
    await new Promise(() => undefined);
    return;
  }
  slave.close();
  ready.writer.close();
  using reports = new FdStream(new FileDescriptor(ready.reader.release()));
  try {
    assertEqual(await readUntil(reports, "\n"), "ready\n");
    setWindowSize(master.fd, { rows: 33, columns: 80 });
    assertEqual(await readUntil(reports, "\n"), "33\n");
    master.close();
    const SIGHUP_STATUS = 129;
    const ended = await withDeadline(
      loop,
      2000,
      { operation: "wait", object: "child" },
      waitForChild(child.pidfd, child.pid),
    );
    assertEqual(ended.status, SIGHUP_STATUS);
  } finally {
    if (master.isOpen) {
      pidfdSendSignal(child.pidfd, SIGKILL);
      await waitForChild(child.pidfd, child.pid);
      master.close();
    }
    child.pidfd.close();
  }
});

test("a program that runs on a terminal sees it as its own", async () => {
  const { master, slave } = openTerminal();
  using ours = new FdStream(master);
  setWindowSize(ours.fd, { rows: 7, columns: 9 });
  const program = await spawn({
    path: "/bin/sh",
    args: ["sh", "-c", "stty size; tty; exit 3"],
    environment: ["PATH=/usr/bin:/bin"],
    descriptors: [slave.fd, slave.fd, slave.fd],
    newSession: true,
    prepare: () => setControllingTerminal(slave.fd),
  });
  using keep = duplicate(slave.fd);
  slave.close();
  const text = await readUntil(ours, "/dev/pts/");
  assert(text.startsWith("7 9\r\n/dev/pts/"), `stty and tty find it, not ${JSON.stringify(text)}`);
  assertEqual((await program.exited).status, 3);
  keep.close();
  await sleep(loop, 0);
});

runTests();
