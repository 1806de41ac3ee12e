/**
 * The process behind one machine of the pool: it makes the machine, gives it away, and stays its processes' parent.
 *
 * The kernel ends QEMU and virtiofsd with their parent. So that they end with the shim that has the machine, and not with the pool
 * that made it, their parent is a process of their own, which ends when its lifeline does: a socket whose other end first the pool
 * has, then the shim.
 */
import { describeError, KataError } from "../../kata-error.ts";
import { type CancelSignal, CancelSource, throwIfCancelled } from "../../sys/cancellation.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { AT_FDCWD, removeTree } from "../../sys/files.ts";
import { OPEN_TREE_CLONE, openTree } from "../../sys/new-mount-api.ts";
import { getpid, pidfdSendSignal, SIGKILL } from "../../sys/process.ts";
import { Rollback } from "../../sys/rollback.ts";
import { CrashRecorder } from "../crash-recorder.ts";
import { sandboxStorages } from "../guest-setup.ts";
import { SilentNetwork } from "../network/silent-network.ts";
import { hostSize } from "../resources/host-size.ts";
import { sizeRange } from "../resources/sizing.ts";
import { makeRunDirectories, removeRunDirectories } from "../run-directories.ts";
import { sandboxPaths } from "../sandbox-paths.ts";
import type { SandboxSettings } from "../settings.ts";
import { bareClone, newIdentity, plugShare } from "../start/clone-machine.ts";
import { provideTemplate, savable } from "../start/provide-template.ts";
import { cardQueues, machineSpec, type StartRequest } from "../start/start-parts.ts";
import { TemplateStore } from "../template/template-store.ts";
import type { Logger } from "../types.ts";
import { poolKey } from "./pool-key.ts";
import { DESCRIPTORS, type DescriptorName, type MachineOffer, sendLine } from "./pool-protocol.ts";
import { restorePriority } from "./priority.ts";
import { makeWarmRoot } from "./warm-root.ts";
import { EMPTY_POD, warmUp } from "./warm-up.ts";

/** Making a clone and warming it takes a second, at low priority on a busy host many, ms. */
const CALL = { timeoutMs: 60_000 };

/**
 * Makes a machine for the owner of `lifeline`'s other end, gives it to it, and waits for the end of either.
 *
 * @param onGiven runs when the owner has it.
 */
export async function keepMachine(
  lifeline: FileDescriptor,
  name: string,
  settings: SandboxSettings,
  logger: Logger,
  onGiven: () => void,
): Promise<void> {
  const owner = new FdStream(lifeline);
  const gone = untilEnd(owner);
  const undo = new Rollback();
  const abandoned = new CancelSource();
  const given = makeMachine(name, settings, logger, undo, abandoned.signal);
  try {
    const ownerWent = gone.then((): never => {
      throw new KataError("cancelled", { operation: "make machine", object: "the pool has ended" });
    });
    ownerWent.catch(() => undefined);
    const made = await Promise.race([given, ownerWent]);
    undo.add("machine's process", () => void pidfdSendSignal(made.descriptors.hypervisorProcess, SIGKILL));
    await giveAway(owner, made);
    onGiven();
    const ends = made.ends.map(async (end) => {
      const message = await end;
      // Who owned it may be gone.
      await sendLine(owner, message).catch((error: unknown) =>
        logger.debug("nobody to tell", { error: describeError(error) }),
      );
    });
    await Promise.race([gone, Promise.all(ends)]);
  } finally {
    abandoned.cancel();
    await undo.run();
    // What was still being made fails by that, and may have made more by then.
    await given.catch((error: unknown) =>
      logger.debug("machine is given up", { error: describeError(error) }),
    );
    await undo.run();
  }
}

async function untilEnd(stream: FdStream): Promise<void> {
  const bytes = new Uint8Array(64);
  try {
    while ((await stream.read(bytes)) > 0);
  } catch (error) {
    // Reset, or closed by ourselves: it has ended all the same.
    if (!(error instanceof KataError)) throw error;
  }
}

interface MadeMachine {
  readonly offer: MachineOffer;
  readonly descriptors: Readonly<Record<Exclude<DescriptorName, "lifeline">, FileDescriptor>>;
  /** Names of the machine's processes with how they ended. */
  readonly ends: readonly Promise<{ readonly ended: string; readonly how: string }>[];
}

async function makeMachine(
  name: string,
  settings: SandboxSettings,
  logger: Logger,
  undo: Rollback,
  signal: CancelSignal,
): Promise<MadeMachine> {
  const paths = sandboxPaths(name);
  const podSpec = { ociVersion: "1.1.0" };
  const range = sizeRange(settings.size, hostSize(), podSpec, true);
  makeRunDirectories(paths);
  undo.add("run directories", () => removeRunDirectories(paths));
  const network = SilentNetwork.make();
  undo.add("network", () => network.close());
  const start: StartRequest = {
    request: { id: name, spec: podSpec, bundle: paths.run, logger, signal },
    settings,
    paths,
    range,
    network: network.unjoined,
    record: new CrashRecorder(paths),
    cgroups: [],
  };
  const spec = savable(await machineSpec(start));
  const store = new TemplateStore(settings.template.path);
  const queues = cardQueues(settings, range.boot.vcpus);
  using template = await provideTemplate(start, spec, { count: 1, queues }, store);
  const devices = [network.card(0, queues)];
  const clone = await bareClone(start, { ...spec, devices }, template, undo);
  network.closeTaps();
  const { machine, share, agent, fileServer } = clone;
  const prepared = agent.calls.createSandbox(
    { ...EMPTY_POD, storages: sandboxStorages(podSpec, true), identity: newIdentity(), parkInterfaces: true },
    CALL,
  );
  await Promise.all([prepared, plugShare(clone, settings)]);
  const root = `${paths.run}/root`;
  throwIfCancelled(signal);
  await makeWarmRoot(root);
  await warmUp(agent.calls, share, root, logger);
  removeTree(root);
  await machine.pause();
  for (const pid of [getpid(), machine.pid, fileServer.program.pid]) restorePriority(pid);

  const mounts = share.room.run(() => openTree(AT_FDCWD, paths.mounts, OPEN_TREE_CLONE));
  const handles = machine.handOver?.();
  if (handles === undefined) {
    throw new KataError("unsupported", {
      operation: "keep machine ready",
      object: `with ${settings.driver}`,
    });
  }
  return {
    offer: {
      kind: "machine",
      key: poolKey(settings, range),
      accelerator: spec.accelerator,
      keeperPid: getpid(),
      hypervisorPid: machine.pid,
      fileServerPid: fileServer.program.pid,
      monitorVersion: handles.monitorVersion,
      plugged: handles.plugged,
    },
    descriptors: {
      monitor: handles.monitor,
      console: handles.console,
      agent: handles.agent,
      mounts,
      network: network.duplicate(),
      hypervisorProcess: handles.process,
      fileServerProcess: fileServer.program.pidfd,
    },
    ends: [
      machine.exited.then(({ reason }) => ({ ended: "QEMU", how: reason })),
      fileServer.program.exited.then((how) => ({ ended: "virtiofsd", how })),
    ],
  };
}

/** Sends all and closes what the owner has from now on. */
async function giveAway(owner: FdStream, { offer, descriptors }: MadeMachine): Promise<void> {
  const names = DESCRIPTORS.filter((name) => name !== "lifeline");
  await sendLine(
    owner,
    offer,
    names.map((name) => descriptors[name].fd),
  );
  for (const name of ["monitor", "console", "agent", "mounts", "network"] as const) descriptors[name].close();
}
