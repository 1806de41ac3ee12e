/** Running the program `kata-runtime` as a user does. */
import { withDeadline } from "../../sys/clock.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { O_RDONLY, open, readlink } from "../../sys/files.ts";
import { pipe } from "../../sys/pipe.ts";
import { SIGKILL } from "../../sys/process.ts";
import { spawn } from "../../sys/spawn.ts";
import { utf8Decode } from "../../sys/utf8.ts";

const SELF = readlink("/proc/self/exe");
const BUILD = SELF.slice(0, SELF.indexOf("/test/"));
/** The program under test: of the build directory that the test is in. */
export const PROGRAM = `${BUILD}/bin/kata-runtime`;
/** Of the source tree. */
export const FIXTURES = `${BUILD}/../tests/fixtures`;
const DEADLINE_MS = 10_000;

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** `NAME=VALUE`, besides PATH. */
  readonly environment?: readonly string[];
  /** The name that it is called by; `kata-runtime` if absent. */
  readonly name?: "kata-runtime" | "kata-ctl";
  /** A file that is its stdin. */
  readonly stdin?: string;
}

/** Runs `kata-runtime` to its end. */
export async function runKataRuntime(
  args: readonly string[],
  { environment = [], name = "kata-runtime", stdin = "/dev/null" }: RunOptions = {},
): Promise<Outcome> {
  using input = open(stdin, O_RDONLY);
  using out = pipe();
  using err = pipe();
  const child = await spawn({
    path: `${BUILD}/bin/${name}`,
    args: [name, ...args],
    environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", ...environment],
    descriptors: [input.fd, out.writer.fd, err.writer.fd],
    parentDeathSignal: SIGKILL,
  });
  out.writer.close();
  err.writer.close();
  const what = { operation: "run", object: `${name} ${args.join(" ")}` };
  const ended = Promise.all([readAll(out.reader), readAll(err.reader), child.exited]);
  const [stdout, stderr, { status }] = await withDeadline(loop, DEADLINE_MS, what, ended);
  return { status, stdout, stderr };
}

async function readAll(reader: FileDescriptor): Promise<string> {
  const stream = new FdStream(new FileDescriptor(reader.release()));
  let text = "";
  const bytes = new Uint8Array(64 << 10);
  for (;;) {
    const count = await stream.read(bytes);
    if (count === 0) break;
    text += utf8Decode(bytes.subarray(0, count));
  }
  stream.close();
  return text;
}
