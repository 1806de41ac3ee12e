/** Programs of the host that tests prepare disks with. */
import { KataError } from "../../kata-error.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { ftruncate, O_CREAT, O_RDWR, open } from "../../sys/files.ts";
import { pipe } from "../../sys/pipe.ts";
import { spawn } from "../../sys/spawn.ts";
import { utf8Decode } from "../../sys/utf8.ts";

const MAX_OUTPUT = 64 << 10;

/** Runs a program to its end. @returns its output. @throws KataError with its output unless it exits with 0. */
export async function runTool(path: string, ...args: readonly string[]): Promise<string> {
  using output = pipe();
  const child = await spawn({
    path,
    args: [path, ...args],
    environment: ["LANG=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    descriptors: ["null", output.writer.fd, output.writer.fd],
  });
  output.writer.close();
  const reader = new FdStream(new FileDescriptor(output.reader.release()));
  let text = "";
  const bytes = new Uint8Array(MAX_OUTPUT);
  for (let count = await reader.read(bytes); count > 0; count = await reader.read(bytes)) {
    text += utf8Decode(bytes.subarray(0, count));
  }
  reader.close();
  const exit = await child.exited;
  if (exit.status === 0) return text;
  throw new KataError("internal", { operation: "run", object: `${path} ${args.join(" ")}: ${text}` });
}

/** Makes a file of `megabytes`, all holes. */
export function makeSparseFile(path: string, megabytes: number): void {
  using file = open(path, O_RDWR | O_CREAT, 0o600);
  ftruncate(file.fd, megabytes * (1 << 20));
}

/** A file with an ext4 that holds the tree at `content`, or nothing. */
export async function makeExt4(path: string, megabytes: number, content?: string): Promise<void> {
  makeSparseFile(path, megabytes);
  const tree = content === undefined ? [] : ["-d", content];
  await runTool("/usr/sbin/mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal", ...tree, path);
}

export interface LoopDevice extends AsyncDisposable {
  readonly path: string;
}

/** A block device over `file`. */
export async function loopDevice(file: string): Promise<LoopDevice> {
  const path = (await runTool("/usr/sbin/losetup", "--find", "--show", file)).trim();
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await runTool("/usr/sbin/losetup", "--detach", path);
    },
  };
}
