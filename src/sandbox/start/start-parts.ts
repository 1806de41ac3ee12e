/** What a pod's machine is made of besides the machine, and what a start of either kind has in common. */
import { describeError, KataError } from "../../kata-error.ts";
import { loop } from "../../sys/event-loop.ts";
import { readTextFileIfExists } from "../../sys/files.ts";
import type { Rollback } from "../../sys/rollback.ts";
import { isTracing } from "../../sys/trace.ts";
import type { AgentConnection } from "../agent-client.ts";
import { confidentialGuest, protectionFacts } from "../confidential-guest.ts";
import type { CrashRecorder } from "../crash-recorder.ts";
import { dnsLines, sandboxStorages } from "../guest-setup.ts";
import {
  type Accelerator,
  acceleratorFor,
  boardParameters,
  warnOfEmulation,
} from "../hypervisor/accelerator.ts";
import { HYPERVISORS } from "../hypervisor/drivers.ts";
import { type MonitorUser, withDeviceGroup } from "../hypervisor/monitor-user.ts";
import { machineAnnotations } from "../hypervisor/remote/machine-annotations.ts";
import type { SupervisedProgram } from "../hypervisor/supervised-program.ts";
import type { Hypervisor, MachineSpec, SharedDirectoryDevice, VirtualMachine } from "../hypervisor/types.ts";
import type { LinkOptions } from "../network/attach-link.ts";
import type { NetworkChoice } from "../network/network-choice.ts";
import { NO_LIMITS } from "../network/rate-limit.ts";
import { joinNetwork, type SandboxNetwork } from "../network/sandbox-network.ts";
import { memoryGrowth } from "../resources/machine-growth.ts";
import { guestNumaNodes, hostNumaNodes } from "../resources/numa.ts";
import type { MachineSize, SizeRange } from "../resources/sizing.ts";
import { firstEnd } from "../sandbox-end.ts";
import { type SandboxPaths, SHARE_TAG } from "../sandbox-paths.ts";
import type { SandboxSettings } from "../settings.ts";
import { MountRoom } from "../storage/mount-room.ts";
import { SharedDirectory } from "../storage/shared-directory.ts";
import { type FileServer, startVirtiofsd } from "../storage/virtiofsd.ts";
import type { SandboxRequest } from "../types.ts";

/** What every way to start a pod's machine gets. */
export interface StartRequest {
  readonly request: Omit<SandboxRequest, "configuration">;
  readonly settings: SandboxSettings;
  readonly paths: SandboxPaths;
  readonly range: SizeRange;
  readonly network: SandboxNetwork;
  readonly record: CrashRecorder;
  readonly cgroups: readonly string[];
  /** Who the monitor runs as; undefined for root. */
  readonly user?: MonitorUser | undefined;
}

/** A machine with an agent that knows its pod. */
export interface StartedMachine {
  readonly machine: VirtualMachine;
  readonly agent: AgentConnection;
  readonly share: SharedDirectory;
  /** Settles with a sentence when the file server ends. */
  readonly fileServerEnded: Promise<string>;
  /** Ends monitor and file server at once, where that can be done; who undoes the start waits for their ends. */
  readonly kill: () => void;
  /** Settles when its processes are in the pod's cgroups, with an error if the kernel refused; absent if they were started there. */
  readonly placed?: Promise<void>;
}

/** What a start hands over. @param fileServer undefined without a shared directory. */
export function startedMachine({
  machine,
  agent,
  share,
  fileServer,
}: Pick<StartedMachine, "machine" | "agent" | "share"> & {
  readonly fileServer: SupervisedProgram | undefined;
}): StartedMachine {
  return { machine, agent, share, fileServerEnded: endOf(fileServer), kill: killBoth(machine, fileServer) };
}

/** Both at the same time: the file server would otherwise wait until the monitor's memory has been given back. */
function killBoth(machine: VirtualMachine, fileServer: SupervisedProgram | undefined): () => void {
  return () => {
    if (machine.kill === undefined) return;
    machine.kill();
    fileServer?.kill();
  };
}

/** The file server ends by itself with the machine's connection; after this it is killed, ms. */
const FILE_SERVER_END_MS = 500;

interface GuestProcessor {
  readonly accelerator: Accelerator;
  /** Of the kernel, for the board with it. */
  readonly parameters: readonly string[];
}

/** A remote hypervisor has its own. */
const ELSEWHERE: GuestProcessor = { accelerator: "kvm", parameters: [] };

/** The machine without devices. */
export async function machineSpec(start: StartRequest): Promise<MachineSpec> {
  const { request, settings, range, network, cgroups } = start;
  const { accelerator, parameters } =
    settings.remote === undefined ? await localAccelerator(start) : ELSEWHERE;
  return {
    ...settings.machine,
    kernelParameters: [...parameters, settings.machine.kernelParameters].join(" "),
    ...range.boot,
    maxVcpus: range.most.vcpus,
    memoryGrowth: memoryGrowth(settings.memoryGrowth, range),
    numaNodes:
      settings.numa === undefined
        ? undefined
        : guestNumaNodes(settings.numa.mapping, hostNumaNodes(), range.boot),
    id: request.id,
    accelerator,
    devices: [],
    networkNamespace: network.namespacePath,
    confidential:
      settings.confidential === undefined
        ? undefined
        : confidentialGuest(settings.confidential, protectionFacts(accelerator), settings.initdata),
    runDirectory: start.user?.directory ?? start.paths.run,
    user: start.user === undefined ? undefined : withDeviceGroup(start.user, accelerator),
    cgroups,
    remote:
      settings.remote === undefined
        ? undefined
        : {
            service: settings.remote.service,
            annotations: machineAnnotations(request.id, request.spec, settings.remote, range.boot),
          },
    diskTuning: settings.disks,
    rates: { disk: settings.diskRates, network: settings.network.limits },
  };
}

/** What runs a machine's CPUs on this host. */
async function localAccelerator({ request, settings }: StartRequest): Promise<GuestProcessor> {
  const choice = await acceleratorFor(settings.machine.machineType);
  warnOfEmulation(choice, request.logger);
  const { accelerator } = choice;
  return { accelerator, parameters: boardParameters(choice, settings.machine.machineType) };
}

/** Makes the shared directory, in mounts of the sandbox's own. */
export function makeShare(paths: SandboxPaths, undo: Rollback): SharedDirectory {
  const room = MountRoom.open();
  undo.add("mount namespace", () => room[Symbol.dispose]());
  return SharedDirectory.create(room, paths);
}

export async function serveFiles(
  { settings, cgroups, request, user }: StartRequest,
  share: SharedDirectory,
  undo: Rollback,
): Promise<FileServer> {
  const { debug } = settings.machine;
  const { logger } = request;
  const server = await startVirtiofsd({
    ...settings.fileServer,
    share,
    socket: HYPERVISORS[settings.driver].fileServerIs,
    monitorUser: user,
    debug,
    cgroups,
    clock: loop,
    logger,
  });
  undo.add("virtiofsd", async () => {
    server.release();
    await server.program.stop(FILE_SERVER_END_MS);
  });
  return server;
}

/** The shared directory as a device of the machine. */
export function shareDevice(server: FileServer, settings: SandboxSettings): SharedDirectoryDevice {
  return {
    kind: "shared-directory",
    id: "share0",
    tag: SHARE_TAG,
    socket: server.socket,
    queueSize: settings.fileServer.queueSize,
  };
}

/** Queue pairs of a card; 0 for a monitor that opens a tap by its name. */
export function cardQueues({ driver, network: { queues } }: SandboxSettings, vcpus: number): number {
  const { tapsByName = false }: Hypervisor = HYPERVISORS[driver];
  if (tapsByName) return 0;
  return queues > 1 ? queues : vcpus;
}

/** Joins the pod's network. What it acquires is undone by `undo`. */
export async function connectNetwork(
  choice: NetworkChoice,
  settings: SandboxSettings,
  { vcpus }: MachineSize,
  record: CrashRecorder,
  undo: Rollback,
  bringTap?: LinkOptions["bringTap"],
): Promise<SandboxNetwork> {
  const { model, limits, passCards } = settings.network;
  const { tapsByName = false, limitsCards = false } = HYPERVISORS[settings.driver] as Hypervisor;
  const network = await joinNetwork(choice, {
    model: model === "none" ? "tcfilter" : model,
    queues: cardQueues(settings, vcpus),
    vhost: settings.vhostNet,
    limits: limitsCards ? NO_LIMITS : limits,
    passCards,
    tapsByName,
    record: record.network,
    ...(bringTap === undefined ? {} : { bringTap }),
  });
  undo.add("network", () => network.disconnect());
  return network;
}

/** What a start can come to that goes on by itself. */
export interface StartWatch {
  failed(reason: string): KataError;
  /** Fails when the machine or the file server ends. */
  readonly ended: Promise<never>;
}

/** @param fileServer absent for a machine without a share. */
export function watchStart(
  machine: VirtualMachine,
  settings: SandboxSettings,
  fileServer?: SupervisedProgram,
): StartWatch {
  const { kernel, root } = settings.machine;
  const failed = (reason: string) =>
    new KataError("boot-failed", {
      operation: "boot guest",
      object: reason,
      hint:
        settings.remote === undefined
          ? `check that ${kernel} and ${root.path} belong together and hold the agent; enable_debug of [hypervisor.${settings.driver}] logs the console`
          : "the log of the service that makes machines says what became of this one; dial_timeout of [agent.kata] is how long its agent may take",
    });
  const fileServerEnded = endOf(fileServer);
  const ended = firstEnd({ machine, fileServerEnded }, loop).then((reason): never => {
    throw failed(reason);
  });
  ended.catch(() => undefined);
  return { failed, ended };
}

/** How the file server ends; never, where there is none. */
function endOf(program: SupervisedProgram | undefined): Promise<string> {
  if (program === undefined) return new Promise(() => undefined);
  return program.exited.then((how) => {
    const words = program.lastOutput();
    return words === "" ? how : `${how}: ${words}`;
  });
}

/** What the guest is told of its pod, however its machine came to be. */
export function podMessage({ settings, request }: StartRequest) {
  const { id, spec } = request;
  const resolvConf = spec.mounts?.find(({ destination }) => destination === "/etc/resolv.conf")?.source;
  return {
    hostname: spec.hostname ?? "",
    dns: resolvConf === undefined ? [] : dnsLines(readTextFileIfExists(resolvConf) ?? ""),
    storages: sandboxStorages(spec, settings.sharesFiles),
    sandboxPidns: false,
    sandboxId: id,
    kernelModules: settings.kernelModules,
    trace: isTracing(),
    guestHookPath: settings.guestHookPath,
  };
}

/** Puts the pod's policy in force, before anything that it may forbid. */
export async function setPodPolicy(agent: AgentConnection, { settings }: StartRequest): Promise<void> {
  if (settings.policy === "") return;
  const call = { timeoutMs: settings.createContainerTimeoutMs };
  await agent.calls.setPolicy({ policy: settings.policy }, call);
}

/** All results, once everything has settled: what has failed must not overtake the undoing of what has not. */
export async function together<T extends readonly unknown[]>(
  ...work: { readonly [Index in keyof T]: Promise<T[Index]> }
): Promise<T> {
  await Promise.allSettled(work);
  return (await Promise.all(work)) as unknown as T;
}

/** Undoes a start that has failed; what cannot be undone is logged, since the failure itself says more. */
export async function giveBack(undo: Rollback, { logger }: Pick<SandboxRequest, "logger">): Promise<void> {
  await undo.run().catch((failure: unknown) => {
    logger.error("clean up after a failed start", { error: describeError(failure) });
  });
}
