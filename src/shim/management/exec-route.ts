/**
 * `POST /exec`: runs a process in the guest itself or in a container, for `kata-runtime exec`, and carries its streams over the
 * connection of the request (`src/rpc/http/exec-stream.ts`). The guest allows the first only with a debug console.
 */
import { hasCode, KataError } from "../../kata-error.ts";
import { GUEST_ITSELF } from "../../oci/guest-itself.ts";
import { EXEC_PROTOCOL, type ExecFrame, encodeExecFrame, readExecFrame } from "../../rpc/http/exec-stream.ts";
import { encodeSwitch } from "../../rpc/http/http-message.ts";
import type { ExecRequest, OutputStream, ProcessAddress, Sandbox } from "../../sandbox/types.ts";
import type { FdStream } from "../../sys/fd-stream.ts";
import { SIGKILL } from "../../sys/process.ts";
import { randomBytes } from "../../sys/random.ts";
import { utf8Decode } from "../../sys/utf8.ts";

const READ_BYTES = 32 << 10;
/** Arguments and variables: a command line of a person. */
const MAX_STRINGS = 4096;
const ID_BYTES = 8;

/** What is to be run. */
interface Wanted {
  /** Empty for the guest itself. */
  readonly container: string;
  readonly process: ExecRequest["process"];
}

/** @returns what runs the process and serves it to its end on `stream`. @throws KataError `invalid-argument` for no such request. */
export function execServer(sandbox: Sandbox, body: Uint8Array, stream: FdStream): () => Promise<void> {
  const { container, process } = parseExec(utf8Decode(body));
  const containerId = container === "" ? GUEST_ITSELF : container;
  const random = [...randomBytes(ID_BYTES)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const address = { containerId, execId: `exec-${random}` };
  return async () => {
    await stream.write(encodeSwitch(EXEC_PROTOCOL));
    try {
      await sandbox.exec({ ...address, process });
    } catch (error) {
      if (!(error instanceof KataError)) throw error;
      await stream.write(encodeExecFrame({ kind: "failure", code: error.code, message: error.message }));
      return;
    }
    await serveProcess(sandbox, address, process.terminal === true, stream);
  };
}

async function serveProcess(
  sandbox: Sandbox,
  address: ProcessAddress,
  terminal: boolean,
  stream: FdStream,
): Promise<void> {
  const send = (frame: ExecFrame) => stream.write(encodeExecFrame(frame));
  const exit = sandbox.wait(address);
  // Who reads it later still hears of a failure.
  exit.catch(() => undefined);
  try {
    void takeInput(sandbox, address, stream).catch((error: unknown) => {
      // The person is gone, or makes no sense: nobody waits for the process any more.
      void sandbox.signal(address, SIGKILL, false).catch(() => undefined);
      if (!(error instanceof KataError)) throw error;
    });
    const outputs: readonly OutputStream[] = terminal ? ["stdout"] : ["stdout", "stderr"];
    await Promise.all(outputs.map((output) => copyOutput(sandbox, address, output, send)));
    await send({ kind: "exit", status: (await exit).status });
  } catch (error) {
    await sandbox.signal(address, SIGKILL, false).catch((later: unknown) => {
      if (!(later instanceof KataError)) throw later;
    });
    if (!(error instanceof KataError)) throw error;
    // A connection that is closed takes no more words.
    await send({ kind: "failure", code: error.code, message: error.message }).catch((later: unknown) => {
      if (!(later instanceof KataError)) throw later;
    });
  }
}

async function copyOutput(
  sandbox: Sandbox,
  address: ProcessAddress,
  output: OutputStream,
  send: (frame: ExecFrame) => Promise<void>,
): Promise<void> {
  for (;;) {
    const bytes = await sandbox.readOutput(address, output, READ_BYTES);
    if (bytes.length === 0) return;
    await send({ kind: output, bytes });
  }
}

/** Ends with an error when the connection does. */
async function takeInput(sandbox: Sandbox, address: ProcessAddress, stream: FdStream): Promise<never> {
  for (;;) {
    const frame = await readExecFrame(stream);
    if (frame === undefined)
      throw new KataError("closed", { operation: "read input", object: address.execId });
    try {
      await take(sandbox, address, frame);
    } catch (error) {
      // The process has closed its stdin, or has ended: what it still writes is wanted.
      if (!hasCode(error, "failed-precondition", "not-found", "system-call")) throw error;
    }
  }
}

async function take(sandbox: Sandbox, address: ProcessAddress, frame: ExecFrame): Promise<void> {
  switch (frame.kind) {
    case "stdin":
      if (frame.bytes.length === 0) await sandbox.closeStdin(address);
      else await sandbox.writeStdin(address, frame.bytes);
      return;
    case "size":
      await sandbox.resizeTerminal(address, frame);
      return;
    case "signal":
      await sandbox.signal(address, frame.signal, false);
      return;
    default:
      throw new KataError("malformed-message", {
        operation: "read input",
        object: `a frame of ${frame.kind}`,
      });
  }
}

/** @throws KataError `invalid-argument`. */
export function parseExec(json: string): Wanted {
  const value = parseObject(json);
  const { container = "", args, env = [], cwd = "/", terminal = false, rows = 0, columns = 0 } = value;
  if (
    typeof container !== "string" ||
    !isStrings(args) ||
    args.length === 0 ||
    !isStrings(env) ||
    typeof cwd !== "string" ||
    typeof terminal !== "boolean" ||
    !isSize(rows) ||
    !isSize(columns)
  ) {
    throw badExec(json);
  }
  return {
    container,
    process: {
      user: { uid: 0, gid: 0 },
      args,
      env,
      cwd,
      terminal,
      ...(rows > 0 && columns > 0 ? { consoleSize: { height: rows, width: columns } } : {}),
    },
  };
}

function parseObject(json: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw badExec(json);
}

function isStrings(value: unknown): value is string[] {
  return (
    Array.isArray(value) && value.length <= MAX_STRINGS && value.every((text) => typeof text === "string")
  );
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff;
}

function badExec(json: string): KataError {
  return new KataError("invalid-argument", {
    operation: "run process",
    object: JSON.stringify(json.slice(0, 200)),
    hint: 'it is {"args": [PROGRAM, …], "terminal": true or false, …}',
  });
}
