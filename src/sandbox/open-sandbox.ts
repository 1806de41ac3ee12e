/**
 * Starting a sandbox, from nothing to an agent that has its pod.
 *
 * What does not depend on each other goes on at the same time, and the guest boots while the host waits for nothing but its
 * first answer. Whatever fails, all that was made before is given back in reverse order.
 */
import { describeError, hasCode, KataError } from "../kata-error.ts";
import { CancelSource, orCancelled, throwIfCancelled } from "../sys/cancellation.ts";
import { sleep } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { readTextFileIfExists } from "../sys/files.ts";
import { Rollback } from "../sys/rollback.ts";
import type { AgentConnection } from "./agent-client.ts";
import { connectAgent } from "./agent-connection.ts";
import { CrashRecorder } from "./crash-recorder.ts";
import { dnsLines, sandboxStorages } from "./guest-setup.ts";
import { checkBoard, chooseAccelerator, warnOfEmulation } from "./hypervisor/accelerator.ts";
import { qemu } from "./hypervisor/qemu/driver.ts";
import type { MachineSpec, VirtualMachine } from "./hypervisor/types.ts";
import { chooseNetwork, type NetworkChoice } from "./network/network-choice.ts";
import { connectPodNetwork, isHostNetwork, type PodNetwork } from "./network/pod-network.ts";
import { makeInitdataDisk } from "./owner-data.ts";
import {
  createHostCgroup,
  hostCgroupDirectories,
  hostCgroupPath,
  removeHostCgroup,
} from "./resources/host-cgroup.ts";
import { hostSize } from "./resources/host-size.ts";
import { machineSize } from "./resources/sizing.ts";
import { makeRunDirectories, removeRunDirectories } from "./run-directories.ts";
import { PodSandbox } from "./sandbox.ts";
import { firstEnd } from "./sandbox-end.ts";
import { SHARE_TAG, sandboxPaths } from "./sandbox-paths.ts";
import { type SandboxSettings, sandboxSettings } from "./settings.ts";
import { MountRoom } from "./storage/mount-room.ts";
import { SandboxDisks } from "./storage/sandbox-disks.ts";
import { SharedDirectory } from "./storage/shared-directory.ts";
import { type FileServer, startVirtiofsd } from "./storage/virtiofsd.ts";
import type { Sandbox, SandboxRequest } from "./types.ts";

/** The file server ends by itself with the machine's connection; after this it is killed, ms. */
const FILE_SERVER_END_MS = 500;

/** From the end of a machine's connections to the end of its process, ms. */
const MACHINE_END_MS = 1000;

/**
 * Makes a pod's sandbox and boots its virtual machine.
 *
 * @throws KataError in one line that says what to do: `invalid-configuration`, `unsupported`, `boot-failed`, or `system-call`
 * with the kernel's errno. Nothing is left on the host then.
 */
export async function openSandbox(request: SandboxRequest): Promise<Sandbox> {
  const { id, spec, logger, signal } = request;
  throwIfCancelled(signal);
  const settings = sandboxSettings(request.configuration);
  const paths = sandboxPaths(id);
  const size = machineSize(settings.size, hostSize(), spec);
  const network = chooseNetwork(spec, {
    disableNewNamespace: settings.disableNewNetworkNamespace || settings.network === "none",
    isHostNamespace: isHostNetwork,
  });
  const undo = new Rollback();
  const started = loop.now();
  try {
    makeRunDirectories(paths);
    undo.add("run directories", () => removeRunDirectories(paths));
    const record = new CrashRecorder(paths);
    const cgroupPath = hostCgroupPath(id, spec.linux?.cgroupsPath, settings.sandboxCgroupOnly);
    const directories = hostCgroupDirectories(cgroupPath);
    const namespace = network.kind === "namespace" ? network.path : undefined;
    // Before there is anything to clean up.
    record.update({ cgroups: directories, networkNamespace: namespace });
    const cgroups = createHostCgroup(directories, logger);
    undo.add("cgroup", () => removeHostCgroup(cgroups, loop));

    const room = MountRoom.open();
    undo.add("mount namespace", () => room[Symbol.dispose]());
    const share = SharedDirectory.create(room, paths);
    const [choice, fileServer, podNetwork] = await together(
      chooseAccelerator(),
      serveFiles(settings, share, cgroups, undo, request),
      joinNetwork(network, settings, record, undo),
    );
    warnOfEmulation(choice, logger);
    checkBoard(choice, settings.machine.machineType);
    throwIfCancelled(signal);

    const machineSpec: MachineSpec = {
      ...settings.machine,
      ...size,
      id,
      accelerator: choice.accelerator,
      devices: [
        {
          kind: "shared-directory",
          id: "share0",
          tag: SHARE_TAG,
          socket: fileServer.connection.fd,
          queueSize: settings.fileServer.queueSize,
        },
        ...podNetwork.devices,
        ...(settings.initdata === ""
          ? []
          : [makeInitdataDisk(settings.initdata, `${paths.run}/initdata.img`)]),
      ],
      networkNamespace: namespace,
      cgroups,
    };
    const machine = await qemu.boot(machineSpec, { clock: loop, logger, signal });
    undo.add("virtual machine", () => machine.stop());
    fileServer.connection.close();
    podNetwork.closeDescriptors();
    record.addProcess("virtiofsd", fileServer.program.pid);
    record.addProcess("QEMU", machine.pid);
    const booting = loop.now();

    const start = watchStart(machine, fileServer, settings);
    const agent = await reachAgent(machine, start, settings, request);
    undo.add("connection to the agent", () => agent.close());
    const booted = loop.now();
    // The guest may wait for ever for a file server that has ended.
    const setUp = setUpGuest(agent, podNetwork, settings, request);
    await orCancelled(Promise.race([setUp, start.ended]), signal);
    logger.info("sandbox is running", {
      hypervisor_ms: Math.round(booting - started),
      boot_ms: Math.round(booted - booting),
      setup_ms: Math.round(loop.now() - booted),
    });
    return new PodSandbox({
      id,
      machine,
      agent,
      storage: {
        share,
        disks: new SandboxDisks(machine, settings.disks, logger),
        blockRootfs: settings.blockRootfs,
        logger,
      },
      fileServerEnded: fileServer.program.exited,
      undo,
      constraints: settings.constraints,
      createContainerTimeoutMs: settings.createContainerTimeoutMs,
      clock: loop,
      logger,
    });
  } catch (error) {
    await undo.run().catch((failure: unknown) => {
      logger.error("clean up after a failed start", { error: describeError(failure) });
    });
    throw error;
  }
}

async function serveFiles(
  settings: SandboxSettings,
  share: SharedDirectory,
  cgroups: readonly string[],
  undo: Rollback,
  { logger }: SandboxRequest,
): Promise<FileServer> {
  const { debug } = settings.machine;
  const server = await startVirtiofsd({ ...settings.fileServer, share, debug, cgroups, clock: loop, logger });
  undo.add("virtiofsd", async () => {
    server.connection.close();
    await server.program.stop(FILE_SERVER_END_MS);
  });
  return server;
}

const NO_NETWORK: PodNetwork = {
  devices: [],
  interfaces: [],
  routes: [],
  neighbours: [],
  closeDescriptors: () => undefined,
  disconnect: () => Promise.resolve(),
};

async function joinNetwork(
  choice: NetworkChoice,
  settings: SandboxSettings,
  record: CrashRecorder,
  undo: Rollback,
): Promise<PodNetwork> {
  if (choice.kind === "loopback") return NO_NETWORK;
  const network = await connectPodNetwork(choice.path, {
    vhost: settings.vhostNet,
    onRedirect: (link, tap) => record.addRedirection(link, tap),
  });
  undo.add("network", () => network.disconnect());
  return network;
}

/** What a start can come to that goes on by itself. */
interface StartWatch {
  failed(reason: string): KataError;
  /** Fails when the machine or the file server ends. */
  readonly ended: Promise<never>;
}

function watchStart(machine: VirtualMachine, fileServer: FileServer, settings: SandboxSettings): StartWatch {
  const { kernel, root } = settings.machine;
  const failed = (reason: string) =>
    new KataError("boot-failed", {
      operation: "boot guest",
      object: reason,
      hint: `check that ${kernel} and ${root.path} belong together and hold the agent; enable_debug of [hypervisor.qemu] logs the console`,
    });
  const fileServerEnded = fileServer.program.exited.then((how) => {
    const words = fileServer.program.lastOutput();
    return words === "" ? how : `${how}: ${words}`;
  });
  const ended = firstEnd({ machine, fileServerEnded }, loop).then((reason): never => {
    throw failed(reason);
  });
  ended.catch(() => undefined);
  return { failed, ended };
}

/** The agent's first answer, or the reason why none will come. */
async function reachAgent(
  machine: VirtualMachine,
  { failed, ended }: StartWatch,
  settings: SandboxSettings,
  { signal }: SandboxRequest,
): Promise<AgentConnection> {
  const giveUp = new CancelSource(signal);
  try {
    const connecting = connectAgent(machine.agentChannel, settings.dialTimeoutMs, giveUp.signal);
    return await orCancelled(Promise.race([connecting, ended]), signal);
  } catch (error) {
    giveUp.cancel();
    if (error instanceof KataError && error.code === "deadline-exceeded") {
      const words = machine.lastOutput();
      const silence = `the agent did not answer within ${settings.dialTimeoutMs / 1000} s`;
      throw failed(words === "" ? silence : `${silence}: ${words}`);
    }
    // A machine that ends closes the channel first; how it ended says more than that it did.
    if (hasCode(error, "unavailable")) {
      await Promise.race([ended, sleep(loop, 2 * MACHINE_END_MS)]);
    }
    throw error;
  }
}

/** Tells the guest of its pod and network. */
async function setUpGuest(
  agent: AgentConnection,
  network: PodNetwork,
  settings: SandboxSettings,
  { id, spec }: SandboxRequest,
): Promise<void> {
  const call = { timeoutMs: settings.createContainerTimeoutMs };
  // Before anything that it may forbid.
  if (settings.policy !== "") await agent.calls.setPolicy({ policy: settings.policy }, call);
  const resolvConf = spec.mounts?.find(({ destination }) => destination === "/etc/resolv.conf")?.source;
  await agent.calls.createSandbox(
    {
      hostname: spec.hostname ?? "",
      dns: resolvConf === undefined ? [] : dnsLines(readTextFileIfExists(resolvConf) ?? ""),
      storages: sandboxStorages(spec, true),
      sandboxPidns: false,
      sandboxId: id,
      kernelModules: settings.kernelModules,
    },
    call,
  );
  for (const each of network.interfaces) await agent.calls.updateInterface({ interface: each }, call);
  if (network.routes.length > 0) {
    await agent.calls.updateRoutes({ routes: { Routes: network.routes } }, call);
  }
  if (network.neighbours.length > 0) {
    await agent.calls.addARPNeighbors({ neighbors: { ARPNeighbors: network.neighbours } }, call);
  }
}

/** All results, once everything has settled: what has failed must not overtake the undoing of what has not. */
async function together<T extends readonly unknown[]>(
  ...work: { readonly [Index in keyof T]: Promise<T[Index]> }
): Promise<T> {
  await Promise.allSettled(work);
  return (await Promise.all(work)) as unknown as T;
}
