/** Runs our shim as containerd does: `start` for a container's machine, `delete` for what is left of it. */
import { KataError } from "../../kata-error.ts";
import { encodeBootstrapParams } from "../../shim/generated.ts";
import { RUNTIME_NAME, SHIM_NAME } from "../../shim/version.ts";
import { withDeadline } from "../../sys/clock.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { exists, readlink } from "../../sys/files.ts";
import { pipe } from "../../sys/pipe.ts";
import { SIGKILL } from "../../sys/process.ts";
import { environment } from "../../sys/program.ts";
import { spawn } from "../../sys/spawn.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { type ContainerDirectory, socketDirectory } from "./runtime-root.ts";

/** `start` makes a socket and a process; `delete` may wait for a machine's end, ms. */
const SHIM_MS = 30_000;
/** Longest answer or complaint that is read, bytes. */
const MAX_OUTPUT_BYTES = 64 << 10;
/** Variables that belong to the caller's own containerd, which is not to hear of this shim. */
const FOREIGN_VARIABLES = ["TTRPC_ADDRESS", "GRPC_ADDRESS", "NAMESPACE"];

/** Starts the container's shim, or finds the one of the sandbox it belongs to; notes its address in the directory. */
export async function startShim(directory: ContainerDirectory, debug: boolean): Promise<void> {
  const { root, id } = directory;
  const parameters = encodeBootstrapParams({
    instanceId: id,
    namespace: root,
    socketDir: socketDirectory(root),
  });
  await runShim(directory, "start", parameters, debug);
}

/** Gives back what the shim of the container has left on the host. Nothing left is no error. */
export async function deleteShim(directory: ContainerDirectory): Promise<void> {
  await runShim(directory, "delete", new Uint8Array(0), false);
}

async function runShim(
  { root, id, path }: ContainerDirectory,
  action: "start" | "delete",
  input: Uint8Array,
  debug: boolean,
): Promise<void> {
  const program = shimProgram();
  using stdin = pipe();
  using complaints = pipe();
  const variables = Object.entries(environment).filter(([name]) => !FOREIGN_VARIABLES.includes(name));
  const child = await spawn({
    path: program,
    // The namespace is part of the socket's name: containers of another root may have the same ids.
    args: [
      program,
      "-namespace",
      root,
      "-address",
      "",
      "-publish-binary",
      "",
      "-id",
      id,
      "-bundle",
      path,
      ...(debug ? ["-debug"] : []),
      action,
    ],
    environment: variables.map(([name, value]) => `${name}=${value}`),
    descriptors: [stdin.reader.fd, "null", complaints.writer.fd],
    workingDirectory: path,
  });
  stdin.reader.close();
  complaints.writer.close();
  const sink = new FdStream(new FileDescriptor(stdin.writer.release()));
  const source = new FdStream(new FileDescriptor(complaints.reader.release()));
  try {
    const what = { operation: `${action} shim`, object: id };
    const words = readAll(source);
    const ended = sink
      .write(input)
      .then(() => sink.close())
      .then(() => Promise.all([words, child.exited]));
    const [text, { status }] = await withDeadline(loop, SHIM_MS, what, ended).catch((error: unknown) => {
      child.kill(SIGKILL);
      throw error;
    });
    if (status !== 0) {
      throw new KataError("unavailable", { ...what, hint: text.trim() || `it ended with status ${status}` });
    }
  } finally {
    sink.close();
    source.close();
  }
}

async function readAll(source: FdStream): Promise<string> {
  const buffer = new Uint8Array(MAX_OUTPUT_BYTES);
  let length = 0;
  while (length < buffer.length) {
    const count = await source.read(buffer.subarray(length));
    if (count === 0) break;
    length += count;
  }
  return utf8Decode(buffer.subarray(0, length));
}

/** The shim that was installed beside this program. */
function shimProgram(): string {
  const own = readlink("/proc/self/exe");
  const path = `${own.slice(0, own.lastIndexOf("/"))}/${SHIM_NAME}`;
  if (exists(path)) return path;
  throw new KataError("not-found", {
    operation: "find shim",
    object: path,
    hint: `install ${SHIM_NAME} (the runtime ${RUNTIME_NAME}) beside kata-runtime`,
  });
}
