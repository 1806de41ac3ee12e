/**
 * `create`: a container that waits for its `start`, and the process that stands for it.
 *
 * The machine is the shim's, which is started as containerd starts it; the process asks it for the container, hands it the stdio
 * that this command has inherited, and waits for the end.
 */
import { describeError, hasCode, KataError } from "../../kata-error.ts";
import { checkHooks } from "../../oci/hooks.ts";
import { stringifySpec } from "../../oci/parse-spec.ts";
import type { Spec } from "../../oci/types.ts";
import { runHostHooks } from "../../sandbox/hooks/host-hooks.ts";
import { processStartTime } from "../../sandbox/process-identity.ts";
import { encodeRuntimeOptions } from "../../shim/generated.ts";
import { readSpec } from "../../shim/read-spec.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { O_RDONLY, open, replaceFile, unlinkIfExists, writeFile } from "../../sys/files.ts";
import { openNamespace, persistNamespace, setns, unshare } from "../../sys/namespaces.ts";
import { CLONE_NEWNET, getcwd, getpid } from "../../sys/process.ts";
import { tell } from "./caller-log.ts";
import { openConsole } from "./console.ts";
import type { ContainerCall } from "./container-call.ts";
import { enterContainerRoot } from "./container-root.ts";
import { type DetachedProcess, detach } from "./detached-process.ts";
import { forwardSignals, passSize } from "./forward-signals.ts";
import { joinCgroups } from "./join-cgroup.ts";
import { absolute, prepareSpec } from "./prepare-spec.ts";
import { ownStdio } from "./process-stdio.ts";
import { networkNamespacePath, removeContainer } from "./remove-container.ts";
import {
  type ContainerDirectory,
  lockContainer,
  makeContainerDirectory,
  removeDirectory,
  writeRecord,
} from "./runtime-root.ts";
import { joinedSandbox, runningContainers } from "./shared-machine.ts";
import { startShim } from "./shim-program.ts";
import { CREATE, TaskConnection } from "./task-connection.ts";

/** How a process is said to have ended whose shim is gone: killed. */
const STATUS_LOST = 137;
/** An engine reads it. */
const PID_FILE_MODE = 0o644;

export interface CreateRequest {
  readonly id: string;
  /** As the caller wrote it. */
  readonly bundle: string;
  readonly consoleSocket: string | undefined;
  readonly pidFile: string | undefined;
  /** The terminal of the caller, for a container that has one and no console socket. */
  readonly terminal: number | undefined;
}

/**
 * Creates a container.
 *
 * @returns the process that stands for it.
 * @throws KataError in one line that says what to do; nothing is left on the host then.
 */
export async function createContainer(call: ContainerCall, request: CreateRequest): Promise<DetachedProcess> {
  const bundle = absolute(getcwd(), request.bundle);
  const spec = readSpec(bundle);
  checkHooks(spec.hooks);
  checkTerminal(spec, request);
  const directory = makeContainerDirectory(call.root, request.id);
  using lock = lockContainer(directory);
  if (lock === undefined) {
    throw new KataError("busy", { operation: "create container", object: `${request.id} is being removed` });
  }
  try {
    return await detach({
      operation: "create container",
      prepare: () => prepare(call, { ...request, bundle }, spec, directory),
      release: () => lock.close(),
      live,
    });
  } catch (error) {
    await removeContainer(directory, true, call.log).catch((failure: unknown) => {
      tell(call.log, "warning", `clean up after a failed creation: ${describeError(failure)}`);
      removeDirectory(directory);
    });
    throw error;
  }
}

function checkTerminal(spec: Spec, { id, consoleSocket, terminal }: CreateRequest): void {
  const wanted = spec.process?.terminal ?? false;
  if (wanted && consoleSocket === undefined && terminal === undefined) {
    throw new KataError("invalid-argument", {
      operation: "create container",
      object: id,
      hint: "process.terminal is set, so --console-socket has to say who gets the terminal",
    });
  }
  if (!wanted && consoleSocket !== undefined) {
    throw new KataError("invalid-argument", {
      operation: "create container",
      object: id,
      hint: "--console-socket is for a container whose process.terminal is set",
    });
  }
}

interface Prepared {
  readonly connection: TaskConnection;
  readonly id: string;
  readonly terminal: FileDescriptor | undefined;
}

/** In the process that stands for the container. */
async function prepare(
  call: ContainerCall,
  request: CreateRequest,
  spec: Spec,
  directory: ContainerDirectory,
): Promise<Prepared> {
  const { id, bundle, consoleSocket, pidFile } = request;
  const sandboxId = joinedSandbox(spec, runningContainers(call.root));
  const network = networkOf(spec);
  const networkNamespace = network === "new" ? networkNamespacePath(directory) : undefined;
  const prepared = prepareSpec(spec, { bundle, networkNamespace, sandboxId });
  writeFile(`${directory.path}/config.json`, stringifySpec(prepared));
  // The shim's log, which nobody else would keep.
  writeFile(`${directory.path}/log`, "");
  const terminal =
    consoleSocket === undefined ? undefined : await openConsole(consoleSocket, spec.process?.consoleSize);

  // It stays in the host's network, where this process leaves.
  await startShim(directory, call.debug);
  using hostNetwork = open("/proc/self/ns/net", O_RDONLY);
  enterNetwork(network, directory);
  // Before the machine has the network, which they may be what makes it: Docker's do.
  const hooks = { subject: { id, spec, bundle }, pid: getpid(), network: hostNetwork.fd, clock: loop };
  for (const point of ["prestart", "createRuntime"] as const) await runHostHooks({ ...hooks, point });
  const connection = await TaskConnection.open(directory);
  const { configuration } = call;
  const options = {
    typeUrl: "runtimeoptions.v1.Options",
    value: encodeRuntimeOptions({ configPath: configuration }),
  };
  const stdio = ownStdio(terminal);
  const { pid: machine } = await connection.calls.create(
    {
      id,
      bundle: directory.path,
      ...stdio,
      terminal: spec.process?.terminal ?? false,
      ...(configuration === "" ? {} : { options }),
    },
    CREATE,
  );
  await runHostHooks({ ...hooks, point: "createContainer" });
  joinCgroups(getpid(), machine);
  writeRecord(directory, {
    version: 1,
    id,
    bundle,
    rootfs: prepared.root?.path ?? "",
    created: new Date().toISOString(),
    pid: getpid(),
    startTime: processStartTime(getpid()) ?? 0,
    sandboxId: sandboxId ?? id,
    annotations: spec.annotations ?? {},
  });
  if (pidFile !== undefined) replaceFile(pidFile, String(getpid()), PID_FILE_MODE);
  try {
    enterContainerRoot(prepared);
  } catch (error) {
    if (pidFile !== undefined) unlinkIfExists(pidFile);
    throw error;
  }
  return { connection, id, terminal };
}

/** The host's, which the shim refuses; one of its own; one that is there. */
type ContainerNetwork = "host" | "new" | { readonly path: string };

function networkOf(spec: Spec): ContainerNetwork {
  const namespace = spec.linux?.namespaces?.find(({ type }) => type === "network");
  if (namespace === undefined) return "host";
  const { path = "" } = namespace;
  return path === "" ? "new" : { path };
}

/**
 * Joins the container's network namespace, so that an engine finds it by this process's pid, as it does with runc: to put
 * interfaces there, or to let another container join it. One that is made is kept by a file, for the shim.
 */
function enterNetwork(network: ContainerNetwork, directory: ContainerDirectory): void {
  if (network === "host") return;
  if (network !== "new") {
    using file = openNamespace(network.path, CLONE_NEWNET);
    setns(file.fd, CLONE_NEWNET);
    return;
  }
  unshare(CLONE_NEWNET);
  using own = open("/proc/self/ns/net", O_RDONLY);
  persistNamespace(own.fd, networkNamespacePath(directory));
}

/** Until the container has ended. */
async function live({ connection, id, terminal }: Prepared): Promise<number> {
  const target = { connection, id, execId: "", terminal: terminal?.fd, onFailure: () => undefined };
  using _signals = forwardSignals(target);
  // The engine may have set it before somebody listened.
  passSize(target).catch(target.onFailure);
  try {
    const { exitStatus } = await connection.calls.wait({ id }, {});
    return exitStatus;
  } catch (error) {
    if (!hasCode(error, "unavailable", "not-found", "closed")) throw error;
    return STATUS_LOST;
  }
}
