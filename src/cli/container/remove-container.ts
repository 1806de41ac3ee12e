/** Gives back everything of a container: in its machine, of its shim, in the root. Whatever is gone already is no error. */
import { describeError, hasCode, hasErrno, KataError } from "../../kata-error.ts";
import { runHostHooks } from "../../sandbox/hooks/host-hooks.ts";
import { processStartTime } from "../../sandbox/process-identity.ts";
import { readSpec } from "../../shim/read-spec.ts";
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { exists } from "../../sys/files.ts";
import { unpersistNamespace } from "../../sys/namespaces.ts";
import { pidfdOpen, pidfdSendSignal, SIGKILL } from "../../sys/process.ts";
import { type CallerLog, tell } from "./caller-log.ts";
import type { ContainerRecord } from "./container-record.ts";
import { type ContainerDirectory, readRecord, removeDirectory } from "./runtime-root.ts";
import { deleteShim } from "./shim-program.ts";
import { CALL, TaskConnection } from "./task-connection.ts";

/** The process that stands for the container ends with it, ms. */
const PROCESS_END_MS = 5000;
/** A killed container's end, ms. */
const KILL_MS = 20_000;

/** The file that keeps a network namespace that was made for the container. */
export function networkNamespacePath({ path }: ContainerDirectory): string {
  return `${path}/netns`;
}

/** @param kill whether it is ended first, if it still runs. @param log where a hook that fails is told of: nothing changes then. */
export async function removeContainer(
  directory: ContainerDirectory,
  kill: boolean,
  log: CallerLog,
): Promise<void> {
  const { id } = directory;
  {
    using connection = await TaskConnection.find(directory);
    if (connection !== undefined) await removeTask(connection, id, kill);
  }
  const record = readRecordIfSound(directory);
  if (record !== undefined) await endProcess(record);
  await deleteShim(directory);
  if (record !== undefined) await runLastHooks(record, log);
  const namespace = networkNamespacePath(directory);
  if (exists(namespace)) unpersistNamespace(namespace);
  removeDirectory(directory);
}

async function removeTask({ calls }: TaskConnection, id: string, kill: boolean): Promise<void> {
  try {
    if (kill) {
      await unlessGone(calls.kill({ id, signal: SIGKILL, all: true }, CALL));
      await unlessGone(calls.wait({ id }, { timeoutMs: KILL_MS }));
    }
    await unlessGone(calls.delete({ id }, CALL));
    // The shim ends if this was its last container.
    await unlessGone(calls.shutdown({ id }, CALL));
  } catch (error) {
    // A shim that ends, or is stuck, is cleaned up after.
    if (!hasCode(error, "deadline-exceeded")) throw error;
  }
}

async function unlessGone(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!hasCode(error, "not-found", "unavailable", "closed")) throw error;
  }
}

/** A damaged record must not keep a container from being removed. */
function readRecordIfSound(directory: ContainerDirectory): ContainerRecord | undefined {
  try {
    return readRecord(directory);
  } catch (error) {
    if (hasCode(error, "invalid-argument")) return undefined;
    throw error;
  }
}

/** An engine that has removed its bundle has no more wishes. */
async function runLastHooks({ id, bundle }: ContainerRecord, log: CallerLog): Promise<void> {
  if (!exists(`${bundle}/config.json`)) return;
  const spec = readSpec(bundle);
  for (const hook of spec.hooks?.poststop ?? []) {
    const subject = { id, bundle, spec: { ...spec, hooks: { poststop: [hook] } } };
    try {
      await runHostHooks({ point: "poststop", subject, pid: undefined, clock: loop });
    } catch (error) {
      if (!(error instanceof KataError)) throw error;
      tell(log, "warning", describeError(error));
    }
  }
}

async function endProcess({ pid, startTime }: ContainerRecord): Promise<void> {
  let process: ReturnType<typeof pidfdOpen>;
  try {
    process = pidfdOpen(pid);
  } catch (error) {
    if (hasErrno(error, "ESRCH", "EINVAL")) return;
    throw error;
  }
  using pidfd = process;
  // Asked once it is held: its number cannot go to another any more.
  if (processStartTime(pid) !== startTime) return;
  const ended = loop.readable(pidfd.fd);
  try {
    const what = { operation: "wait for the process of the container", object: `pid ${pid}` };
    await withDeadline(loop, PROCESS_END_MS, what, ended).catch((error: unknown) => {
      if (!(error instanceof KataError)) throw error;
      pidfdSendSignal(pidfd, SIGKILL);
    });
  } finally {
    loop.forget(pidfd.fd);
  }
}
