/** `exec`: a further process in a container, in the foreground or with a process of its own on the host. */
import { hasCode, KataError } from "../../kata-error.ts";
import { stringifySpec } from "../../oci/parse-spec.ts";
import type { Process } from "../../oci/types.ts";
import { PROCESS_TYPE } from "../../shim/any-type.ts";
import { readSpec } from "../../shim/read-spec.ts";
import { replaceFile } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { isTerminal, setRawMode } from "../../sys/terminal.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import { textFlag } from "../flag-values.ts";
import { openConsole } from "./console.ts";
import { type ContainerCall, idOf } from "./container-call.ts";
import { refuseDescriptors } from "./descriptors-flag.ts";
import { detach } from "./detached-process.ts";
import { processToRun } from "./exec-process.ts";
import { forwardSignals, passSize } from "./forward-signals.ts";
import { ownStdio } from "./process-stdio.ts";
import { type ContainerDirectory, findContainer } from "./runtime-root.ts";
import { CALL, CREATE, notRunning, TaskConnection } from "./task-connection.ts";

/** How a process is said to have ended whose shim is gone. */
const STATUS_LOST = 255;
const STDIN = 0;
const PID_FILE_MODE = 0o644;

export async function runExec(call: ContainerCall): Promise<number> {
  const { flags, operands } = call;
  const directory = findContainer(call.root, idOf(call));
  refuseDescriptors(flags);
  const process = processToRun(readSpec(directory.path), flags, operands.slice(1));
  const request: ExecCall = {
    directory,
    process,
    consoleSocket: textFlag(flags, "console-socket"),
    pidFile: textFlag(flags, "pid-file"),
  };
  if (!flags.has("detach")) return await inForeground(request);
  if (process.terminal && request.consoleSocket === undefined) {
    throw new KataError("invalid-argument", {
      operation: "run process",
      object: directory.id,
      hint: "a detached process with a terminal needs --console-socket",
    });
  }
  await detach({
    operation: "run process",
    prepare: () => start(request),
    live: awaitEnd,
  });
  return 0;
}

interface ExecCall {
  readonly directory: ContainerDirectory;
  readonly process: Process;
  readonly consoleSocket: string | undefined;
  readonly pidFile: string | undefined;
}

interface StartedExec {
  readonly connection: TaskConnection;
  readonly id: string;
  readonly execId: string;
  /** The terminal that tells the size. */
  readonly terminal: number | undefined;
}

async function inForeground(request: ExecCall): Promise<number> {
  const usesOwn = request.process.terminal === true && request.consoleSocket === undefined;
  using _raw = usesOwn && isTerminal(STDIN) ? setRawMode(STDIN) : undefined;
  return await awaitEnd(await start(request));
}

async function start(request: ExecCall): Promise<StartedExec> {
  const connection = await TaskConnection.open(request.directory);
  try {
    return await startOn(connection, request);
  } catch (error) {
    connection[Symbol.dispose]();
    throw error;
  }
}

async function startOn(
  connection: TaskConnection,
  { directory, process, consoleSocket, pidFile }: ExecCall,
): Promise<StartedExec> {
  const { id } = directory;
  const terminal = process.terminal ?? false;
  const console =
    consoleSocket === undefined || !terminal
      ? undefined
      : await openConsole(consoleSocket, process.consoleSize);
  const execId = `exec-${getpid()}-${Date.now().toString(36)}`;
  const own = terminal && isTerminal(STDIN) ? STDIN : undefined;
  const started: StartedExec = { connection, id, execId, terminal: console?.fd ?? own };
  const spec = { typeUrl: PROCESS_TYPE, value: utf8Encode(stringifySpec(process)) };
  try {
    await connection.calls.exec({ id, execId, ...ownStdio(console), terminal, spec }, CALL);
  } catch (error) {
    if (hasCode(error, "failed-precondition", "not-found")) throw notRunning(id);
    throw error;
  }
  try {
    await passSize({ ...started, onFailure: () => undefined });
    await connection.calls.start({ id, execId }, CREATE);
    if (pidFile !== undefined) replaceFile(pidFile, String(getpid()), PID_FILE_MODE);
    return started;
  } catch (error) {
    await forget(started);
    throw error;
  }
}

async function awaitEnd(started: StartedExec): Promise<number> {
  const { connection, id, execId } = started;
  using _signals = forwardSignals({ ...started, onFailure: () => undefined });
  try {
    const { exitStatus } = await connection.calls.wait({ id, execId }, {});
    await forget(started);
    return exitStatus;
  } catch (error) {
    if (!hasCode(error, "unavailable", "not-found", "closed")) throw error;
    return STATUS_LOST;
  } finally {
    connection[Symbol.dispose]();
  }
}

/** The shim keeps what has ended until somebody has seen it. */
async function forget({ connection, id, execId }: StartedExec): Promise<void> {
  try {
    await connection.calls.delete({ id, execId }, CALL);
  } catch (error) {
    // Gone with its container, or never started: what there was to know is known.
    if (!hasCode(error, "unavailable", "not-found", "closed", "failed-precondition")) throw error;
  }
}
