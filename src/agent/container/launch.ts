/**
 * Starting a child that becomes a container's process: the agent's side.
 *
 * The child stands ready when {@link launch} comes back: inside the container, as its user, one call away from its program.
 */
import { KataError } from "../../kata-error.ts";
import { withDeadline } from "../../sys/clock.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { fchown } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { clone, pidfdGetfd, pidfdSendSignal, SIGKILL } from "../../sys/process.ts";
import { socketPair } from "../../sys/socket.ts";
import { addPhases, tracedNow } from "../../sys/trace.ts";
import type { ChildReaper } from "../child-reaper.ts";
import { insideNamespaces, type JoinedNamespace } from "../sandbox/shared-namespaces.ts";
import { runChild } from "./become-program.ts";
import { ChildChannel, type ParentChannel } from "./child-channel.ts";
import { makePipes, type ProcessStdio, terminalStdio } from "./process-stdio.ts";

/** Setting a child up takes milliseconds; a hanging file system must not hang the agent. */
const SETUP_DEADLINE_MS = 60_000;

export interface LaunchRequest {
  readonly hasTerminal: boolean;
  /** Bytes; 0 for the kernel's default. */
  readonly pipeSize: number;
  /** `CLONE_NEW*` of the namespaces that the child gets new. */
  readonly cloneFlags: number;
  /** Namespaces of others that the child is to be in from its beginning. */
  readonly joined: readonly JoinedNamespace[];
  /** Descriptors that the child has as `FIRST_GIVEN_FD` and up. */
  readonly given: readonly number[];
  /** Cgroup and id maps; while it runs the child waits. */
  readonly prepare: (pid: number) => void;
  /** Runs when the child has mounted everything, if it asks for that. */
  readonly runHooks?: (pid: number) => Promise<void>;
  /** Longest that hooks may take, ms; added to the deadline. */
  readonly hooksDeadlineMs?: number;
  /** Who may open the pipes of stdio again, by the machine's numbers: in a user namespace the child cannot say so. */
  readonly stdioOwner?: { readonly uid: number; readonly gid: number } | undefined;
  /** What the child does once it may. */
  readonly body: (channel: ParentChannel) => never;
}

export interface LaunchedChild {
  readonly pid: number;
  readonly pidfd: FileDescriptor;
  /** Exit status; never rejects. */
  readonly exited: Promise<number>;
  readonly channel: ChildChannel;
  readonly stdio: ProcessStdio;
}

/** Keeps an open /dev/null for children that get their terminal later. */
let nullDevice: FileDescriptor | undefined;

function nullFd(): number {
  nullDevice ??= new FileDescriptor(
    check(kernel().syscall("openat", -100, "/dev/null", 2 | 0o2000000, 0), "open", "/dev/null"),
  );
  return nullDevice.fd;
}

/**
 * Clones the agent and waits until the child is ready.
 *
 * @throws KataError what the child reported; by then it has ended and everything is given back.
 */
export async function launch(request: LaunchRequest, reaper: ChildReaper): Promise<LaunchedChild> {
  const pair = socketPair();
  const pipes = request.hasTerminal ? undefined : makePipes(request.pipeSize);
  const channel = new ChildChannel(new FdStream(pair.ours));
  let stdio: ProcessStdio | undefined = pipes?.ours;
  let child:
    | { readonly pid: number; readonly pidfd: FileDescriptor; readonly exited: Promise<number> }
    | undefined;
  try {
    const standard =
      pipes === undefined
        ? [nullFd(), nullFd(), nullFd()]
        : [pipes.theirs.stdin.fd, pipes.theirs.stdout.fd, pipes.theirs.stderr.fd];
    if (pipes !== undefined && request.stdioOwner !== undefined) {
      const { uid, gid } = request.stdioOwner;
      for (const fd of standard) fchown(fd, uid, gid);
    }
    const descriptors = [...standard, pair.theirs.fd, ...request.given];
    const cloned = tracedNow("guest", "clone", () =>
      insideNamespaces(request.joined, () => {
        const result = clone({ flags: request.cloneFlags });
        if (result.role === "child") runChild(descriptors, request.body);
        return result;
      }),
    );
    child = { pid: cloned.pid, pidfd: cloned.pidfd, exited: reaper.exitOf(cloned.pid) };
    pair.theirs.close();
    pipes?.theirs[Symbol.dispose]();
    tracedNow("guest", "join cgroups", () => request.prepare(cloned.pid));
    const what = { operation: "set up container process", object: `process ${child.pid}` };
    const deadline = SETUP_DEADLINE_MS + (request.hooksDeadlineMs ?? 0);
    const { pid } = child;
    const runHooks = async () => request.runHooks?.(pid);
    const master = await withDeadline(loop, deadline, what, untilReady(channel, child, runHooks));
    if (master !== undefined) stdio = terminalStdio(master);
    if (stdio === undefined) {
      throw new KataError("internal", { operation: "set up terminal", object: "the process made none" });
    }
    return { ...child, channel, stdio };
  } catch (error) {
    channel.close();
    pair.theirs.close();
    pipes?.theirs[Symbol.dispose]();
    stdio?.close();
    if (child !== undefined) {
      pidfdSendSignal(child.pidfd, SIGKILL);
      await child.exited;
      child.pidfd.close();
    }
    throw error;
  }
}

/** Lets the child go on and hears it out. @returns its terminal's master end, if it has made one. */
async function untilReady(
  channel: ChildChannel,
  child: { readonly pidfd: FileDescriptor; readonly exited: Promise<number> },
  runHooks: () => Promise<void>,
): Promise<FileDescriptor | undefined> {
  let master: FileDescriptor | undefined;
  try {
    await channel.letContinue();
    for (;;) {
      const message = await channel.next();
      switch (message.kind) {
        case "ready":
          return master;
        case "terminal":
          master = pidfdGetfd(child.pidfd, message.fd);
          await channel.terminalTaken();
          break;
        case "hooks":
          await runHooks();
          await channel.hooksHaveRun();
          break;
        case "phases":
          addPhases(message.phases);
          break;
        case "failed":
          throw message.error;
        case "end":
          throw new KataError("aborted", {
            operation: "set up container process",
            object: `it ended with status ${await child.exited}`,
            hint: "a memory or pids limit may be too small for it",
          });
      }
    }
  } catch (error) {
    master?.close();
    throw error;
  }
}
