/**
 * `delete`: gives back what a shim has left on the host. containerd runs it after every end of a shim, in good order or not, so
 * it finds anything from nothing to a shim that hangs.
 * Source: containerd runtime v2 shim contract, "delete".
 */
import { describeError, hasCode, hasErrno, KataError } from "../kata-error.ts";
import { TtrpcClient } from "../rpc/client.ts";
import { cleanUpSandbox } from "../sandbox/clean-up.ts";
import { runHostHooks } from "../sandbox/hooks/host-hooks.ts";
import { withDeadline } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { readTextFile, unlinkIfExists } from "../sys/files.ts";
import { getcwd, pidfdOpen, pidfdSendSignal, SIGKILL } from "../sys/process.ts";
import { writeSync } from "../sys/program.ts";
import { connect } from "../sys/socket.ts";
import { wallClockMs } from "../sys/time.ts";
import type { ShimArguments } from "./arguments.ts";
import { forgetHooks, hasClaimedSandbox, owesHooks, readAddress, readShimPid } from "./bundle-files.ts";
import { type BundleRole, bundleRole } from "./bundle-role.ts";
import { runLastHooks } from "./container-hooks.ts";
import { encodeDeleteResponse, taskClient } from "./generated.ts";
import { readSpec } from "./read-spec.ts";
import { shimSocketPath } from "./socket-path.ts";
import { timestampOf } from "./timestamp.ts";

/** Killed by SIGKILL. */
const EXIT_STATUS = 137;
/** A shim that is well answers at once, ms. */
const ANSWER_MS = 500;
/** A shim that ends in good order is given this long, ms; containerd waits for 5 s in all. */
const SHIM_END_MS = 3000;
/** A killed one, whose virtual machine's memory goes with it, ms. */
const SHIM_KILL_MS = 1500;

/**
 * Cleans up after the shim of a container. Nothing to clean is no error.
 *
 * @returns what goes to standard output: a DeleteResponse.
 * @throws KataError `cleanup-failed` that names what could not be given back.
 */
export async function deleteShim(args: ShimArguments): Promise<Uint8Array> {
  const bundle = args.bundle || getcwd();
  // What a member has on the host is its sandbox's, which has a clean-up of its own.
  const socket = socketOf(bundle, args);
  const shim = await shimState(roleOf(bundle), socket, args.id);
  if (shim !== "others") {
    await endShim(bundle, args, shim === "silent" ? SHIM_END_MS : 0);
    if (hasClaimedSandbox(bundle)) await cleanUpSandbox(args.id);
    unlinkIfExists(socket);
  }
  // Where the shim lives on with the container, its hooks are the shim's own to run.
  if (owesHooks(bundle) && (shim !== "others" || !(await knows(socket, args.id)))) {
    await runOwedHooks(bundle, args.id);
  }
  return encodeDeleteResponse({ exitStatus: EXIT_STATUS, exitedAt: timestampOf(wallClockMs()) });
}

/** The hooks for the end of a container that a shim which has crashed could not run any more; once. */
async function runOwedHooks(bundle: string, id: string): Promise<void> {
  forgetHooks(bundle);
  const warn = (message: string, fields?: object) =>
    writeSync(2, `${message} ${JSON.stringify(fields ?? {})}\n`);
  const logger = { debug: warn, info: warn, warn, error: warn };
  try {
    const subject = { id, bundle, spec: readSpec(bundle) };
    await runLastHooks({ runHooks: (run) => runHostHooks({ ...run, clock: loop }), logger }, subject);
  } catch (error) {
    warn("hooks were not run", { error: describeError(error) });
  }
}

/** Whether a shim answers there that has the container. */
async function knows(socket: string, id: string): Promise<boolean> {
  try {
    const what = { operation: "ask shim", object: socket };
    using stream = await withDeadline(loop, ANSWER_MS, what, connect({ kind: "unix", path: socket }));
    await taskClient(new TtrpcClient(stream)).state({ id }, { timeoutMs: ANSWER_MS });
    return true;
  } catch (error) {
    if (error instanceof KataError) return false;
    throw error;
  }
}

/** The role, as far as the bundle still tells it. One that is half made or half removed may have been anything. */
function roleOf(bundle: string): BundleRole {
  try {
    return bundleRole(bundle);
  } catch (error) {
    if (!hasCode(error, "not-found")) {
      writeSync(2, `taken for a container of its own: ${describeError(error)}\n`);
    }
    return { role: "single" };
  }
}

/** `others`: the shim goes on, with what it has. */
async function shimState(
  role: BundleRole,
  socket: string,
  id: string,
): Promise<"others" | "idle" | "silent"> {
  if (role.role === "member") return "others";
  const state = await askShim(socket, id);
  // A sandbox is never one of others, and goes with all that is in it.
  return role.role === "controlled" && role.daemon === "2.x" && state === "others" ? "idle" : state;
}

/**
 * What a shim says of itself: that it lives on without this container for `others` of its pod, that it is `idle` or still has this
 * container, so that it will not end by itself, or nothing.
 */
async function askShim(path: string, id: string): Promise<"others" | "idle" | "silent"> {
  const what = { operation: "ask shim", object: path };
  try {
    using stream = await withDeadline(loop, ANSWER_MS, what, connect({ kind: "unix", path }));
    const calls = taskClient(new TtrpcClient(stream));
    const isKnown = await calls.state({ id }, { timeoutMs: ANSWER_MS }).then(
      () => true,
      (error: unknown) => {
        if (hasCode(error, "not-found")) return false;
        throw error;
      },
    );
    const { taskPid } = await calls.connect({ id }, { timeoutMs: ANSWER_MS });
    return isKnown || taskPid === 0 ? "idle" : "others";
  } catch (error) {
    if (error instanceof KataError) return "silent";
    throw error;
  }
}

/** Waits for the end of the shim, and brings it about if it does not come within `graceMs`. */
async function endShim(bundle: string, args: ShimArguments, graceMs: number): Promise<void> {
  const pid = readShimPid(bundle);
  if (pid === undefined) return;
  let opened: ReturnType<typeof pidfdOpen>;
  try {
    opened = pidfdOpen(pid);
  } catch (error) {
    if (hasErrno(error, "ESRCH")) return;
    throw error;
  }
  using pidfd = opened;
  // Asked once it is held: its number cannot go to another any more.
  if (!isShimOf(pid, args)) return;
  const ended = loop.readable(pidfd.fd);
  try {
    const what = { operation: "wait for the end of the shim", object: `pid ${pid}` };
    await withDeadline(loop, graceMs, what, ended).catch(async () => {
      pidfdSendSignal(pidfd, SIGKILL);
      await withDeadline(loop, SHIM_KILL_MS, { ...what, operation: "kill shim" }, ended);
    });
  } finally {
    loop.forget(pidfd.fd);
  }
}

/** Whether process `pid` is the shim that serves this container, by its command line. */
function isShimOf(pid: number, { id, namespace }: ShimArguments): boolean {
  try {
    const words = readTextFile(`/proc/${pid}/cmdline`).split("\0");
    const follows = (flag: string, value: string) => words[words.indexOf(flag) + 1] === value;
    return follows("-id", id) && follows("-namespace", namespace);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return false;
    throw error;
  }
}

/** What a shim's socket is named: no other file is removed, whatever the bundle says. */
const SOCKET_NAME = /^unix:\/\/(\/.*\/[0-9a-f]{64})$/;

/** Where the shim listens: as the bundle notes it, or as it would without a note. */
function socketOf(bundle: string, { address, namespace, id }: ShimArguments): string {
  const noted = SOCKET_NAME.exec(readAddress(bundle) ?? "")?.[1];
  return noted ?? shimSocketPath({ address, namespace, sandboxId: id });
}
