import { sleep } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { FdStream } from "../sys/fd-stream.ts";
import {
  mkdirAll,
  mkfifo,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  open,
  readTextFile,
  removeTree,
  writeFile,
} from "../sys/files.ts";
import { getpid } from "../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../sys/testing/native-test.ts";
import { utf8Decode, utf8Encode } from "../sys/utf8.ts";
import { ProcessStdio, type StdioPaths, type StdioSandbox } from "./stdio.ts";

const PROCESS = { containerId: "c", execId: "" };
const LOGGER = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
const NO_STREAMS: StdioPaths = { stdin: "", stdout: "", stderr: "", terminal: false };

/** A process in the guest: what it writes, and what it was sent. */
class GuestProcess implements StdioSandbox {
  readonly received: string[] = [];
  readonly #chunks = { stdout: [] as string[], stderr: [] as string[] };
  readonly #waiting = new Map<string, () => void>();
  #ended = false;

  writes(stream: "stdout" | "stderr", text: string): void {
    this.#chunks[stream].push(text);
    this.#wake(stream);
  }

  ends(): void {
    this.#ended = true;
    for (const stream of ["stdout", "stderr"]) this.#wake(stream);
  }

  async readOutput(_process: object, stream: "stdout" | "stderr"): Promise<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks[stream].shift();
      if (chunk !== undefined) return utf8Encode(chunk);
      if (this.#ended) return new Uint8Array(0);
      await new Promise<void>((resolve) => this.#waiting.set(stream, resolve));
    }
  }

  async writeStdin(_process: object, bytes: Uint8Array): Promise<void> {
    this.received.push(utf8Decode(bytes));
  }

  async closeStdin(): Promise<void> {
    this.received.push("<end>");
  }

  #wake(stream: string): void {
    const wake = this.#waiting.get(stream);
    this.#waiting.delete(stream);
    wake?.();
  }
}

let directories = 0;

/** A directory with a FIFO for each stream, removed at the end of the scope. */
function fifos(): { readonly paths: StdioPaths; readonly directory: string } & Disposable {
  const directory = `/tmp/kata-shim-stdio.${getpid()}.${directories++}`;
  mkdirAll(directory);
  for (const name of ["stdin", "stdout", "stderr"]) mkfifo(`${directory}/${name}`, 0o600);
  return {
    directory,
    paths: {
      stdin: `${directory}/stdin`,
      stdout: `${directory}/stdout`,
      stderr: `${directory}/stderr`,
      terminal: false,
    },
    [Symbol.dispose]: () => removeTree(directory),
  };
}

function reader(path: string): FdStream {
  return new FdStream(open(path, O_RDONLY | O_NONBLOCK));
}

/** The text that comes until the end of the stream. */
async function readAll(stream: FdStream): Promise<string> {
  const buffer = new Uint8Array(65536);
  let text = "";
  for (;;) {
    const count = await stream.read(buffer);
    if (count === 0) return text;
    text += utf8Decode(buffer.subarray(0, count));
  }
}

/** Waits until `condition` holds; the test's own deadline is the limit. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(loop, 2);
}

test("ProcessStdio carries both outputs apart and ends them for their readers", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  using stdio = new ProcessStdio(guest, PROCESS, place.paths, LOGGER);
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
  using stdio = new ProcessStdio(guest, PROCESS, place.paths, LOGGER);
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
  using stdio = new ProcessStdio(guest, PROCESS, place.paths, LOGGER);
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

test("ProcessStdio hands over more than a pipe holds at its reader's pace", async () => {
  using place = fifos();
  const guest = new GuestProcess();
  using stdio = new ProcessStdio(guest, PROCESS, place.paths, LOGGER);
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
  using stdio = new ProcessStdio(guest, PROCESS, paths, LOGGER);
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
  using stdio = new ProcessStdio(guest, PROCESS, paths, LOGGER);
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
  using stdio = new ProcessStdio(guest, PROCESS, { ...place.paths, terminal: true }, LOGGER);
  using stderr = reader(place.paths.stderr);
  stdio.start();
  guest.writes("stderr", "nobody asks for it");
  guest.ends();
  await stdio.drained();
  assertEqual(await readAll(stderr), "");
});

test("ProcessStdio refuses a stream that is not there and keeps nothing open", async () => {
  using place = fifos();
  const before = openDescriptors();
  const paths = { ...place.paths, stderr: `${place.directory}/missing` };
  await assertThrows(
    () => new ProcessStdio(new GuestProcess(), PROCESS, paths, LOGGER),
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

runTests();
