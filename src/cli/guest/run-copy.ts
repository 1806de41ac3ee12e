/** `cp`: files between the host and a guest, as a tar archive that the guest's tar makes or takes. */
import { KataError } from "../../kata-error.ts";
import { lstat, O_DIRECTORY, O_RDONLY, open, S_IFDIR, S_IFMT, statIfExists } from "../../sys/files.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { findSandbox } from "../sandboxes/sandbox-directories.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import { type CopySide, nameOf, parentOf, parseCopySide } from "./copy-side.ts";
import { GUEST_PATH, GuestProcess } from "./guest-process.ts";
import { packTree } from "./pack-tree.ts";
import { TarReader } from "./tar-format.ts";
import { Unpacker, type UnpackLimits } from "./unpack-archive.ts";

/** A guest is not to fill the host's disk. */
const LIMITS: UnpackLimits = { bytes: 64 * 2 ** 30, entries: 1_000_000 };
/** What a guest's tar complains about, characters. */
const MAX_COMPLAINT_LENGTH = 2000;

/** @throws KataError for what cannot be copied; what was copied before stays. */
export async function runCopy({ operands: [from = "", to = ""], output }: CommandContext): Promise<number> {
  const [source, destination] = [parseCopySide(from), parseCopySide(to)];
  const skipped = (path: string, why = "it is no file, directory or link") =>
    output.progress(`left out: ${JSON.stringify(path)} (${why})\n`);
  if (source.kind === "host" && destination.kind === "guest") {
    await copyIn(source.path, destination, skipped);
  } else if (source.kind === "guest" && destination.kind === "host") {
    await copyOut(source, destination.path, skipped);
  } else {
    throw new KataError("invalid-argument", {
      operation: "copy",
      object: `${from} to ${to}`.slice(0, 200),
      hint: "one side is SANDBOX:PATH, the other a path of the host",
    });
  }
  return EXIT_OK;
}

type GuestSide = Extract<CopySide, { kind: "guest" }>;

async function copyIn(
  path: string,
  { sandbox, path: there }: GuestSide,
  skipped: (path: string) => void,
): Promise<void> {
  const sandboxId = findSandbox(sandbox);
  lstat(path);
  const isDirectory = (await inGuest(sandboxId, ["test", "-d", there])).status === 0;
  if (!isDirectory && there.endsWith("/")) {
    throw new KataError("not-found", {
      operation: "copy into the guest",
      object: there,
      hint: "it is no directory",
    });
  }
  const name = isDirectory ? nameOf(path) : nameOf(there);
  const directory = isDirectory ? there : parentOf(there);
  const result = await inGuest(
    sandboxId,
    ["tar", "-x", "-f", "-", "-C", directory],
    packTree(path, name, skipped),
  );
  if (result.status !== 0) throw refused("copy into the guest", there, result);
}

async function copyOut(
  { sandbox, path: there }: GuestSide,
  path: string,
  skipped: (path: string, why: string) => void,
): Promise<void> {
  const sandboxId = findSandbox(sandbox);
  const name = there === "/" ? "." : nameOf(there);
  const status = statIfExists(path);
  const isDirectory = status !== undefined && (status.mode & S_IFMT) === S_IFDIR;
  if (name === "." && isDirectory) {
    throw new KataError("invalid-argument", {
      operation: "copy from the guest",
      object: path,
      hint: "a guest's whole root needs a name that is not taken",
    });
  }
  using directory = open(isDirectory ? path : parentOf(path), O_RDONLY | O_DIRECTORY);
  using unpacker = new Unpacker({
    directory: directory.fd,
    name,
    calledHere: isDirectory ? name : nameOf(path),
    limits: LIMITS,
    onSkipped: skipped,
  });
  const reader = new TarReader(unpacker);
  const args = ["tar", "-c", "-f", "-", "-C", there === "/" ? "/" : parentOf(there), name];
  const result = await inGuest(sandboxId, args, undefined, (bytes) => reader.push(bytes));
  if (result.status !== 0 || !reader.isComplete) throw refused("copy from the guest", there, result);
}

interface GuestResult {
  readonly status: number;
  readonly complaint: string;
}

/** Runs a command in the guest to its end. */
async function inGuest(
  sandboxId: string,
  args: readonly string[],
  input?: AsyncIterable<Uint8Array>,
  onOutput: (bytes: Uint8Array) => void = () => undefined,
): Promise<GuestResult> {
  // The shell of a guest may have its programs in itself.
  const command = ["sh", "-c", '"$@"', "sh", ...args];
  using process = await GuestProcess.start(sandboxId, { args: command, env: [GUEST_PATH], terminal: false });
  let complaint = "";
  const sending = send(process, input);
  // A process that ends before it has read everything says why; the write's failure is the lesser news.
  sending.catch(() => undefined);
  const status = await process.run((kind, bytes) => {
    if (kind === "stdout") onOutput(bytes);
    else if (complaint.length < MAX_COMPLAINT_LENGTH) complaint += utf8Decode(bytes);
  });
  return { status, complaint };
}

async function send(process: GuestProcess, input: AsyncIterable<Uint8Array> | undefined): Promise<void> {
  if (input !== undefined) {
    for await (const bytes of input) if (bytes.length > 0) await process.send({ kind: "stdin", bytes });
  }
  await process.send({ kind: "stdin", bytes: new Uint8Array(0) });
}

function refused(operation: string, path: string, { status, complaint }: GuestResult): KataError {
  const words = complaint
    .trim()
    .replace(/[\0-\x1f\x7f]+/g, " ")
    .slice(0, MAX_COMPLAINT_LENGTH);
  const why = status === 0 ? "the archive broke off" : `tar ended with status ${status}`;
  return new KataError("shim-refused", { operation, object: `${path}: ${words === "" ? why : words}` });
}
