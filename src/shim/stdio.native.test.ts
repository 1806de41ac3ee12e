import { hasCode, hasErrno } from "../kata-error.ts";
import { sleep } from "../sys/clock.ts";
import { FileDescriptor } from "../sys/descriptor.ts";
import { loop } from "../sys/event-loop.ts";
import { FdStream } from "../sys/fd-stream.ts";
import {
  chmod,
  mkdirAll,
  O_CREAT,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  open,
  readTextFile,
  writeAll,
  writeFile,
} from "../sys/files.ts";
import { pipe } from "../sys/pipe.ts";
import { getpid, ignoreSignal, SIGPIPE } from "../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../sys/testing/native-test.ts";
import { utf8Decode, utf8Encode } from "../sys/utf8.ts";
import { ProcessStdio, type StdioPaths } from "./stdio.ts";
import { descriptorAddress } from "./stdio-address.ts";
import {
  CONTEXT,
  fifos,
  GuestProcess,
  LOGGER,
  NO_STREAMS,
  PROCESS,
  readAll,
  reader,
  until,
} from "./testing/stdio-bench.ts";

test("ProcessStdio carries both outputs apart and ends them for their readers", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  using stdio = await ProcessStdio.open(guest, PROCESS, place.paths, CONTEXT);
  using stdout = reader(place.paths.stdout);
  using stderr = reader(place.paths.stderr);
  stdio.start();
  guest.writes("stdout", "one ");
  guest.writes("stderr", "oops");
  guest.writes("stdout", "two");
  guest.ends();
  await stdio.drained();
  // The FIFO has the shim's own reading end open until it is disposed of.
  stdio[Symbol.dispose]();
  assertEqual(await readAll(stdout), "one two");
  assertEqual(await readAll(stderr), "oops");
});

test("ProcessStdio keeps output for a reader who comes late, after another has gone away", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  using stdio = await ProcessStdio.open(guest, PROCESS, place.paths, CONTEXT);
  reader(place.paths.stdout).close();
  stdio.start();
  guest.writes("stdout", "still here");
  guest.ends();
  await stdio.drained();
  using late = reader(place.paths.stdout);
  const buffer = new Uint8Array(100);
  assertEqual(utf8Decode(buffer.subarray(0, await late.read(buffer))), "still here");
});

test("ProcessStdio leaves stdin open when a client goes away, and ends it after closeStdin()", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  using stdio = await ProcessStdio.open(guest, PROCESS, place.paths, CONTEXT);
  stdio.start();
  const first = new FdStream(open(place.paths.stdin, O_WRONLY | O_NONBLOCK));
  await first.write(utf8Encode("first"));
  first.close();
  await until(() => guest.received.length === 1);
  const second = new FdStream(open(place.paths.stdin, O_WRONLY | O_NONBLOCK));
  await second.write(utf8Encode("second"));
  stdio.closeStdin();
  await until(() => guest.received.length === 2);
  // The client still has its end.
  await sleep(loop, 20);
  assertEqual(guest.received, ["first", "second"]);
  second.close();
  await until(() => guest.received.length === 3);
  assertEqual(guest.received, ["first", "second", "<end>"]);
});

test("ProcessStdio takes what its caller has open: a pipe as it is, a file at its position", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  using input = pipe();
  using output = pipe();
  const path = `${place.directory}/file`;
  using file = open(path, O_WRONLY | O_CREAT, 0o600);
  writeAll(file.fd, utf8Encode("before "));
  const paths: StdioPaths = {
    stdin: descriptorAddress(getpid(), input.reader.fd),
    stdout: descriptorAddress(getpid(), output.writer.fd),
    stderr: descriptorAddress(getpid(), file.fd),
    terminal: false,
  };
  using stdio = await ProcessStdio.open(guest, PROCESS, paths, CONTEXT);
  // Whoever shares the pipe with us still waits in it.
  for (const { fd } of [input.reader, output.writer]) assertEqual(isNonBlocking(fd), false, `fd ${fd}`);
  output.writer.close();
  stdio.start();
  writeAll(input.writer.fd, utf8Encode("question"));
  input.writer.close();
  await until(() => guest.received.length === 2);
  assertEqual(guest.received, ["question", "<end>"]);
  guest.writes("stdout", "answer");
  guest.writes("stderr", "complaint");
  guest.ends();
  await stdio.drained();
  using reading = new FdStream(new FileDescriptor(output.reader.release()));
  assertEqual(await readAll(reading), "answer");
  writeAll(file.fd, utf8Encode(" after"));
  assertEqual(readTextFile(path), "before complaint after");
});

test("ProcessStdio refuses a descriptor that nobody has open", async () => {
  const guest = new GuestProcess();
  const paths: StdioPaths = { ...NO_STREAMS, stdout: descriptorAddress(getpid(), 900) };
  const opening = () => ProcessStdio.open(guest, PROCESS, paths, CONTEXT);
  await assertThrows(opening, (error) => hasErrno(error, "EBADF"), "EBADF");
});

/** By O_NONBLOCK in the flags of /proc. */
function isNonBlocking(fd: number): boolean {
  const flags = /^flags:\s*([0-7]+)$/m.exec(readTextFile(`/proc/self/fdinfo/${fd}`))?.[1] ?? "";
  return (Number.parseInt(flags, 8) & O_NONBLOCK) !== 0;
}

test("ProcessStdio hands over more than a pipe holds at its reader's pace", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  using stdio = await ProcessStdio.open(guest, PROCESS, place.paths, CONTEXT);
  using stdout = reader(place.paths.stdout);
  stdio.start();
  for (let count = 0; count < 8; count++) guest.writes("stdout", "x".repeat(65536));
  guest.ends();
  let drained = false;
  const draining = stdio.drained().then(() => {
    drained = true;
  });
  await sleep(loop, 50);
  assert(!drained, "not drained while nobody reads");
  const buffer = new Uint8Array(65536);
  let length = 0;
  while (length < 8 * 65536) length += await stdout.read(buffer);
  await draining;
});

test("ProcessStdio appends both outputs to a file, which it makes with its directory", async () => {
  using place = fifos();
  const file = `${place.directory}/logs/c.log`;
  mkdirAll(`${place.directory}/logs`);
  writeFile(file, "before ");
  const guest = new GuestProcess();
  const paths = { ...NO_STREAMS, stdout: `file://${file}`, stderr: `file://${file}` };
  using stdio = await ProcessStdio.open(guest, PROCESS, paths, CONTEXT);
  stdio.start();
  guest.writes("stdout", "out ");
  guest.writes("stderr", "err");
  guest.ends();
  await stdio.drained();
  assertEqual(readTextFile(file).split(" ").sort(), ["before", "err", "out"]);
});

test("ProcessStdio takes plain files: input to its end, output appended", async () => {
  using place = fifos();
  writeFile(`${place.directory}/in`, "from a file");
  writeFile(`${place.directory}/out`, "before ");
  const guest = new GuestProcess();
  const paths = { ...NO_STREAMS, stdin: `${place.directory}/in`, stdout: `${place.directory}/out` };
  using stdio = await ProcessStdio.open(guest, PROCESS, paths, CONTEXT);
  stdio.start();
  guest.writes("stdout", "after");
  guest.ends();
  await stdio.drained();
  await until(() => guest.received.length === 2);
  assertEqual(guest.received, ["from a file", "<end>"]);
  assertEqual(readTextFile(`${place.directory}/out`), "before after");
});

test("ProcessStdio with a terminal has one output", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  using stdio = await ProcessStdio.open(guest, PROCESS, { ...place.paths, terminal: true }, CONTEXT);
  using stderr = reader(place.paths.stderr);
  stdio.start();
  guest.writes("stderr", "nobody asks for it");
  guest.ends();
  await stdio.drained();
  assertEqual(await readAll(stderr), "");
});

/** A program at `path` that writes what it gets into files beside it. */
function loggingProgram(directory: string, last: string): string {
  const path = `${directory}/logger`;
  const script = [
    "#!/bin/sh",
    `cd ${directory}`,
    'echo "$CONTAINER_ID $CONTAINER_NAMESPACE $#:$*" > facts',
    "cat <&3 > got-stdout 5>&- & cat <&4 > got-stderr 5>&- &",
    last,
    "exec 5>&-",
    "wait",
    "echo ended >> facts",
  ];
  writeFile(path, `${script.join("\n")}\n`);
  chmod(path, 0o755);
  return path;
}

test("ProcessStdio hands both outputs to a program, which has ended by itself afterwards", async () => {
  using place = fifos();
  const program = loggingProgram(place.directory, "");
  const guest = new GuestProcess();
  const stdout = `binary://${program}?--dir=%2Fx&y`;
  const stdio = await ProcessStdio.open(guest, PROCESS, { ...NO_STREAMS, stdout, stderr: stdout }, CONTEXT);
  stdio.start();
  guest.writes("stdout", "out");
  guest.writes("stderr", "err");
  guest.ends();
  await stdio.drained();
  stdio[Symbol.dispose]();
  await until(() => readTextFile(`${place.directory}/facts`).includes("ended"));
  assertEqual(readTextFile(`${place.directory}/facts`), "c ns 4:--dir /x y \nended\n");
  assertEqual(readTextFile(`${place.directory}/got-stdout`), "out");
  assertEqual(readTextFile(`${place.directory}/got-stderr`), "err");
});

test("ProcessStdio goes on taking the output of a process whose program has died", async () => {
  using files = fifos();
  const program = `${files.directory}/dies`;
  writeFile(program, "#!/bin/sh\nexec 5>&-\nread -r line <&3\n", 0o755);
  chmod(program, 0o755);
  const warnings: string[] = [];
  const logger = { ...LOGGER, warn: (message: string) => void warnings.push(message) };
  const guest = new GuestProcess();
  const paths = { ...NO_STREAMS, stdout: `binary://${program}` };
  using stdio = await ProcessStdio.open(guest, PROCESS, paths, { ...CONTEXT, logger });
  stdio.start();
  guest.writes("stdout", "one line\n");
  // It has read the line and ended, and its pipe has no reader any more.
  await until(() => {
    guest.writes("stdout", "more\n");
    return warnings.length > 0;
  });
  for (let count = 0; count < 100; count++) guest.writes("stdout", "x".repeat(65536));
  guest.ends();
  await stdio.drained();
  assertEqual(warnings.length, 1);
  assert(/^stdout is lost: .*EPIPE/.test(warnings[0] ?? ""), warnings[0] ?? "");
});

test("ProcessStdio refuses a program that ends without having told that it is ready", async () => {
  using place = fifos();
  const program = loggingProgram(place.directory, "kill $!; exit 3");
  const stdout = `binary-v2://${program}`;
  await assertThrows(
    () => ProcessStdio.open(new GuestProcess(), PROCESS, { ...NO_STREAMS, stdout }, CONTEXT),
    (error) => hasCode(error, "failed-precondition"),
    "failed-precondition",
  );
});

test("ProcessStdio refuses a program that is not there", async () => {
  const paths = { ...NO_STREAMS, stdout: "binary:///nonexistent/logger" };
  await assertThrows(
    () => ProcessStdio.open(new GuestProcess(), PROCESS, paths, CONTEXT),
    (error) => hasErrno(error, "ENOENT"),
    "ENOENT",
  );
});

test("ProcessStdio refuses a stream that is not there and keeps nothing open", async () => {
  using place = fifos();
  const before = openDescriptors();
  const paths = { ...place.paths, stderr: `${place.directory}/missing` };
  await assertThrows(
    () => ProcessStdio.open(new GuestProcess(), PROCESS, paths, CONTEXT),
    (error) => error instanceof Error && error.message.includes("missing"),
    "an error that names the path",
  );
  assertEqual(openDescriptors(), before);
});

/** The lowest free descriptor's number tells whether one was left open. */
function openDescriptors(): number {
  using probe = open("/dev/null", O_RDONLY);
  return probe.fd;
}

// As the shim does: whoever is gone is an error of the write.
ignoreSignal(SIGPIPE);
runTests();
