/** What a process writes shortly before its end. */
import { sleep } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { FdStream } from "../sys/fd-stream.ts";
import { O_NONBLOCK, O_WRONLY, open } from "../sys/files.ts";
import { FakeClock } from "../sys/testing/fake-clock.ts";
import { assertEqual, runTests, test } from "../sys/testing/native-test.ts";
import { utf8Decode, utf8Encode } from "../sys/utf8.ts";
import { ProcessStdio, type StdioPaths } from "./stdio.ts";
import { CONTEXT, fifos, GuestProcess, PROCESS, readAll, reader } from "./testing/stdio-bench.ts";

/** The paths without the one for input: nobody writes to the process. */
const withoutInput = (paths: StdioPaths): StdioPaths => ({ ...paths, stdin: "" });

test("ProcessStdio asks for nothing if a process brings its output with its end, soon", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  guest.readOutput = () => Promise.reject(new Error("it was asked"));
  using stdio = await ProcessStdio.open(guest, PROCESS, withoutInput(place.paths), CONTEXT);
  using stdout = reader(place.paths.stdout);
  using stderr = reader(place.paths.stderr);
  stdio.start();
  stdio.finishWith({ stdout: utf8Encode("all"), stderr: utf8Encode("of it") });
  await stdio.drained();
  stdio[Symbol.dispose]();
  assertEqual(await readAll(stdout), "all");
  assertEqual(await readAll(stderr), "of it");
});

test("ProcessStdio reads what does not come with the end of its process", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  using stdio = await ProcessStdio.open(guest, PROCESS, withoutInput(place.paths), CONTEXT);
  using stdout = reader(place.paths.stdout);
  stdio.start();
  stdio.finishWith({ stderr: new Uint8Array(0) });
  guest.writes("stdout", "first, then");
  guest.ends();
  await stdio.drained();
  stdio[Symbol.dispose]();
  assertEqual(await readAll(stdout), "first, then");
});

test("ProcessStdio reads at once if somebody writes to the process, or has a terminal", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  using stdio = await ProcessStdio.open(guest, PROCESS, place.paths, { ...CONTEXT, clock: new FakeClock() });
  using stdin = new FdStream(open(place.paths.stdin, O_WRONLY | O_NONBLOCK));
  using stdout = reader(place.paths.stdout);
  stdio.start();
  guest.writes("stdout", "answer");
  await stdin.write(utf8Encode("question"));
  const buffer = new Uint8Array(64);
  assertEqual(utf8Decode(buffer.subarray(0, await stdout.read(buffer))), "answer");

  const terminal = { ...withoutInput(place.paths), terminal: true };
  using other = await ProcessStdio.open(guest, PROCESS, terminal, { ...CONTEXT, clock: new FakeClock() });
  other.start();
  guest.writes("stdout", "prompt");
  assertEqual(utf8Decode(buffer.subarray(0, await stdout.read(buffer))), "prompt");
});

test("ProcessStdio begins to read what a process writes if it does not end soon", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  using stdio = await ProcessStdio.open(guest, PROCESS, withoutInput(place.paths), CONTEXT);
  using stdout = reader(place.paths.stdout);
  stdio.start();
  guest.writes("stdout", "while it runs");
  const buffer = new Uint8Array(64);
  assertEqual(utf8Decode(buffer.subarray(0, await stdout.read(buffer))), "while it runs");
  guest.ends();
  stdio.finishWith(undefined);
  await stdio.drained();
});

test("ProcessStdio loses nothing of what crosses its first question for output", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  using stdio = await ProcessStdio.open(guest, PROCESS, withoutInput(place.paths), CONTEXT);
  using stdout = reader(place.paths.stdout);
  stdio.start();
  await sleep(loop, 150);
  // The guest has handed all out with the end, so that the question finds the end of the stream.
  guest.ends();
  await sleep(loop, 20);
  stdio.finishWith({ stdout: utf8Encode("crossed"), stderr: new Uint8Array(0) });
  await stdio.drained();
  stdio[Symbol.dispose]();
  assertEqual(await readAll(stdout), "crossed");
});

runTests();
