/** Asking a program for its version. */
import { describeError, hasErrno, KataError } from "../../kata-error.ts";
import { withDeadline } from "../../sys/clock.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { pipe } from "../../sys/pipe.ts";
import { SIGKILL } from "../../sys/process.ts";
import { spawn } from "../../sys/spawn.ts";
import { utf8Decode } from "../../sys/utf8.ts";

/** QEMU takes some 20 ms; a program that waits for something is not the one that is meant. */
const DEADLINE_MS = 5000;
/** More than any version that is meant to be read. */
const MAX_OUTPUT_BYTES = 16 << 10;

/** First line of what `program --version` writes to stdout. @throws KataError if it does not run or says nothing. */
export async function programVersion(program: string): Promise<string> {
  using output = pipe();
  const child = await spawn({
    path: program,
    args: [program, "--version"],
    environment: ["LANG=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    descriptors: ["null", output.writer.fd, "null"],
    parentDeathSignal: SIGKILL,
  });
  output.writer.close();
  const reader = new FdStream(new FileDescriptor(output.reader.release()));
  try {
    const what = { operation: "ask version of", object: program };
    const [text, { status }] = await withDeadline(
      loop,
      DEADLINE_MS,
      what,
      Promise.all([readText(reader), child.exited]),
    );
    const line = text.split("\n", 1)[0]?.trim() ?? "";
    if (status === 0 && line !== "") return line;
    throw new KataError("unsupported", { ...what, hint: `--version ended with status ${status}` });
  } finally {
    child.kill(SIGKILL);
    reader.close();
  }
}

async function readText(stream: FdStream): Promise<string> {
  const bytes = new Uint8Array(MAX_OUTPUT_BYTES);
  let length = 0;
  while (length < bytes.length) {
    const count = await stream.read(bytes.subarray(length));
    if (count === 0) break;
    length += count;
  }
  return utf8Decode(bytes.subarray(0, length));
}

/** Why `error` came of {@link programVersion}, in few words. */
export function versionFailure(error: unknown): string {
  if (hasErrno(error, "ENOENT")) return "missing";
  if (hasErrno(error, "EACCES")) return "not executable";
  if (hasErrno(error, "ENOEXEC")) return "no program for this machine";
  return describeError(error);
}
