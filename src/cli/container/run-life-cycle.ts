/** `create`, `start`, `run`, `kill`, `pause`, `resume` and `delete`. Source: OCI runtime specification, "Operations"; runc. */
import { hasCode, KataError } from "../../kata-error.ts";
import { signalNumber } from "../../oci/signals.ts";
import { runHostHooks } from "../../sandbox/hooks/host-hooks.ts";
import { readSpec } from "../../shim/read-spec.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { getcwd } from "../../sys/process.ts";
import { isTerminal, setRawMode } from "../../sys/terminal.ts";
import { textFlag } from "../flag-values.ts";
import { EXIT_OK } from "../types.ts";
import { type ContainerCall, idOf } from "./container-call.ts";
import { containerState, taskStatus } from "./container-status.ts";
import { createContainer } from "./create-container.ts";
import { refuseDescriptors } from "./descriptors-flag.ts";
import { forwardSignals, passSize } from "./forward-signals.ts";
import { absolute } from "./prepare-spec.ts";
import { removeContainer } from "./remove-container.ts";
import { type ContainerDirectory, findContainer, lockContainer, readRecord } from "./runtime-root.ts";
import { CALL, CREATE, notRunning, TaskConnection } from "./task-connection.ts";

const STDIN = 0;
/** A creation that is under way when the container is to be removed, ms. */
const LOCK_WAIT_MS = 10_000;
const LOCK_INTERVAL_MS = 50;

export async function runCreate(call: ContainerCall): Promise<number> {
  const { flags } = call;
  refuseDescriptors(flags);
  await createContainer(call, {
    id: idOf(call),
    bundle: textFlag(flags, "bundle") ?? ".",
    consoleSocket: textFlag(flags, "console-socket"),
    pidFile: textFlag(flags, "pid-file"),
    terminal: undefined,
  });
  return EXIT_OK;
}

export async function runStart(call: ContainerCall): Promise<number> {
  await startContainer(findContainer(call.root, idOf(call)));
  return EXIT_OK;
}

async function startContainer(directory: ContainerDirectory): Promise<void> {
  await startTask(directory);
  const record = readRecord(directory);
  if (record === undefined) return;
  const { id, bundle, pid } = record;
  const subject = { id, bundle, spec: readSpec(bundle) };
  await runHostHooks({ point: "poststart", subject, pid, clock: loop });
}

async function startTask(directory: ContainerDirectory): Promise<void> {
  const { id } = directory;
  using connection = await TaskConnection.open(directory);
  try {
    await connection.calls.start({ id }, CREATE);
  } catch (error) {
    if (!hasCode(error, "failed-precondition")) throw error;
    const status = await taskStatus(connection, id);
    if (status === "created") throw error;
    throw new KataError("failed-precondition", {
      operation: "start container",
      object:
        status === "stopped"
          ? `${id}: cannot start a container that has stopped`
          : `${id}: cannot start an already running container`,
    });
  }
}

/** `create` and `start`; in the foreground until the end, and then `delete`. */
export async function runRun(call: ContainerCall): Promise<number> {
  const { flags, root } = call;
  refuseDescriptors(flags);
  const id = idOf(call);
  const bundle = textFlag(flags, "bundle") ?? ".";
  const consoleSocket = textFlag(flags, "console-socket");
  const detached = flags.has("detach");
  const wantsTerminal = readSpec(absolute(getcwd(), bundle)).process?.terminal ?? false;
  const terminal = wantsTerminal && !detached && consoleSocket === undefined ? STDIN : undefined;
  const pidFile = textFlag(flags, "pid-file");
  const process = await createContainer(call, { id, bundle, consoleSocket, pidFile, terminal });
  const directory = findContainer(root, id);
  try {
    if (detached) {
      await startContainer(directory);
      return EXIT_OK;
    }
    const status = await foreground(directory, process.exited, terminal);
    if (!flags.has("keep")) await removeContainer(directory, false, call.log);
    return status;
  } catch (error) {
    await removeContainer(directory, true, call.log);
    throw error;
  }
}

async function foreground(
  directory: ContainerDirectory,
  exited: () => Promise<number>,
  terminal: number | undefined,
): Promise<number> {
  const shown = terminal !== undefined && isTerminal(terminal) ? terminal : undefined;
  using _raw = shown === undefined ? undefined : setRawMode(shown);
  using connection = await TaskConnection.open(directory);
  const target = {
    connection,
    id: directory.id,
    execId: "",
    terminal: shown,
    onFailure: () => undefined,
  };
  using _signals = forwardSignals(target);
  await passSize(target);
  await startContainer(directory);
  return await exited();
}

export async function runKill(call: ContainerCall): Promise<number> {
  const directory = findContainer(call.root, idOf(call));
  const text = call.operands[1] ?? "TERM";
  const signal = signalNumber(text);
  if (signal === undefined) {
    throw new KataError("invalid-argument", {
      operation: "send signal",
      object: `unknown signal ${JSON.stringify(text.slice(0, 40))}`,
      hint: "it is a name as TERM or SIGTERM, or a number from 1 to 64",
    });
  }
  const { id } = directory;
  using connection = await TaskConnection.open(directory);
  try {
    await connection.calls.kill({ id, signal, all: call.flags.has("all") }, CALL);
  } catch (error) {
    if (hasCode(error, "not-found", "unavailable")) throw notRunning(id);
    throw error;
  }
  return EXIT_OK;
}

export async function runPause(call: ContainerCall): Promise<number> {
  return await changeFreezing(call, "pause");
}

export async function runResume(call: ContainerCall): Promise<number> {
  return await changeFreezing(call, "resume");
}

async function changeFreezing(call: ContainerCall, verb: "pause" | "resume"): Promise<number> {
  const directory = findContainer(call.root, idOf(call));
  using connection = await TaskConnection.open(directory);
  await connection.calls[verb]({ id: directory.id }, CALL);
  return EXIT_OK;
}

export async function runDelete(call: ContainerCall): Promise<number> {
  const force = call.flags.has("force");
  let directory: ContainerDirectory;
  try {
    directory = findContainer(call.root, idOf(call));
  } catch (error) {
    // Nothing is there to be removed: what was wanted is so.
    if (force && hasCode(error, "not-found")) return EXIT_OK;
    throw error;
  }
  using _lock = await lockOrWait(directory, force);
  const status = await statusToDelete(directory, force);
  if (!force && status !== "stopped" && status !== "created") {
    throw new KataError("failed-precondition", {
      operation: "delete container",
      object: `cannot delete container ${directory.id} that is not stopped: ${status}`,
      hint: "end it with `kata-runtime kill`, or use --force",
    });
  }
  await removeContainer(directory, status !== "stopped", call.log);
  return EXIT_OK;
}

async function statusToDelete(directory: ContainerDirectory, force: boolean): Promise<string> {
  if (force) return "running";
  const { status } = await containerState(directory);
  // Nobody creates it any more: its lock is ours.
  return status === "creating" ? "created" : status;
}

async function lockOrWait(directory: ContainerDirectory, force: boolean) {
  const giveUp = loop.now() + (force ? LOCK_WAIT_MS : 0);
  for (;;) {
    const lock = lockContainer(directory);
    if (lock !== undefined) return lock;
    if (loop.now() >= giveUp) {
      throw new KataError("busy", {
        operation: "delete container",
        object: `${directory.id} is being created or deleted`,
        hint: "try again in a moment",
      });
    }
    await sleep(loop, LOCK_INTERVAL_MS);
  }
}
