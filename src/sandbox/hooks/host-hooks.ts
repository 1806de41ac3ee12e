/**
 * The host's hooks of a container: programs of the host, run at points of the container's life with its state on stdin.
 *
 * | point | when | in whose namespaces | a failure |
 * |---|---|---|---|
 * | prestart, createRuntime | the machine runs, the container is not made yet | the runtime's | undoes the container |
 * | createContainer | after these | the machine monitor's | undoes the container |
 * | poststart | the program has been started | the runtime's | ends the container |
 * | poststop | the container is gone | the runtime's | is only told |
 *
 * Their pid is the monitor's: it lives in the pod's network namespace, which is what network hooks want to know.
 * Sources: OCI runtime specification 1.3, "POSIX-platform Hooks" and "Lifecycle"; upstream Kata Containers, "Hooks handling".
 */
import { KataError } from "../../kata-error.ts";
import { type HookPoint, type HookSubject, hookDeadlineMs, hookState } from "../../oci/hooks.ts";
import type { Hook } from "../../oci/types.ts";
import type { CancelSignal } from "../../sys/cancellation.ts";
import { type Clock, withDeadline } from "../../sys/clock.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { writeAll } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { memfdCreate } from "../../sys/memory.ts";
import { openNamespace, setns } from "../../sys/namespaces.ts";
import { CLONE_NEWNET, CLONE_NEWNS, kill, SIGKILL } from "../../sys/process.ts";
import { spawn } from "../../sys/spawn.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";

/** The points that are the host's. */
export type HostHookPoint = Exclude<HookPoint, "startContainer">;

/** Of what a hook says on stderr, the message shows the beginning, bytes. */
const SHOWN_BYTES = 1024;

export interface HostHookRequest {
  readonly point: HostHookPoint;
  readonly subject: HookSubject;
  /** Of the machine monitor; absent once it is gone. */
  readonly pid: number | undefined;
  /** Descriptor of the runtime's network namespace, if the calling process has left it. */
  readonly network?: number | undefined;
  readonly clock: Clock;
  /** Fires when nobody waits any more: the hook under way is killed. */
  readonly signal?: CancelSignal | undefined;
}

/**
 * Runs the hooks of one point, one after the other.
 *
 * @throws KataError `aborted` for the first one that fails, with what it said; `deadline-exceeded` for one that takes too long
 * and was killed; `system-call` for one that cannot be executed. Those behind it are not run.
 */
export async function runHostHooks(request: HostHookRequest): Promise<void> {
  const { point, subject, pid } = request;
  const state = hookState(point, subject, pid);
  for (const hook of subject.spec.hooks?.[point] ?? []) await runHook(hook, state, request);
}

async function runHook(
  hook: Hook,
  state: string,
  { point, pid, network, clock, signal }: HostHookRequest,
): Promise<void> {
  const what = { operation: `run ${point} hook`, object: hook.path };
  using namespaces = new JoinedNamespaces(point === "createContainer" ? pid : undefined);
  using stdin = memoryFile("state", utf8Encode(state));
  using stderr = memoryFile("stderr", new Uint8Array(0));
  const child = await spawn({
    path: hook.path,
    args: (hook.args?.length ?? 0) > 0 ? (hook.args ?? []) : [hook.path],
    environment: hook.env ?? [],
    descriptors: [stdin.fd, "null", stderr.fd],
    workingDirectory: "/",
    parentDeathSignal: SIGKILL,
    newSession: true,
    prepare: () => {
      if (network !== undefined) setns(network, CLONE_NEWNET);
      namespaces.join();
    },
  });
  // With all that it has started: it is a session of its own.
  const end = () => void kill(-child.pid, SIGKILL);
  signal?.addEventListener("abort", end);
  if (signal?.aborted) end();
  try {
    const { status } = await withDeadline(clock, hookDeadlineMs(hook), what, child.exited);
    if (signal?.aborted) throw signal.reason;
    if (status === 0) return;
    const words = beginningOf(stderr);
    throw new KataError("aborted", {
      ...what,
      object: `${hook.path}: it ended with status ${status}`,
      ...(words === "" ? {} : { hint: words }),
    });
  } catch (error) {
    end();
    throw error;
  } finally {
    signal?.removeEventListener("abort", end);
  }
}

/** The namespaces of another process, for a child to join before its program is executed. */
class JoinedNamespaces implements Disposable {
  readonly #open: { readonly file: FileDescriptor; readonly type: number }[] = [];

  /** @param pid none: the child stays where it is. */
  constructor(pid: number | undefined) {
    if (pid === undefined) return;
    try {
      // The mount namespace last: the files of the others are in our own.
      for (const [name, type] of [
        ["net", CLONE_NEWNET],
        ["mnt", CLONE_NEWNS],
      ] as const) {
        this.#open.push({ file: openNamespace(`/proc/${pid}/ns/${name}`, type), type });
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  join(): void {
    for (const { file, type } of this.#open) setns(file.fd, type);
  }

  [Symbol.dispose](): void {
    for (const { file } of this.#open) file.close();
    this.#open.length = 0;
  }
}

function memoryFile(name: string, content: Uint8Array): FileDescriptor {
  const file = memfdCreate(name);
  try {
    writeAll(file.fd, content);
    check(kernel().syscall("lseek", file.fd, 0, 0), "rewind", name);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** One line: messages are. */
function beginningOf(file: FileDescriptor): string {
  const bytes = new Uint8Array(SHOWN_BYTES);
  const count = check(kernel().syscall("pread64", file.fd, bytes, bytes.length, 0), "read", "stderr");
  return utf8Decode(bytes.subarray(0, count)).trim().replace(/\s+/g, " ");
}
