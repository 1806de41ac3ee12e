/**
 * Starting a sandbox, from nothing to an agent that has its pod.
 *
 * How its machine comes to be is in `start/`. Whatever fails, all that was made before is given back in reverse order.
 */
import { throwIfCancelled } from "../sys/cancellation.ts";
import { loop } from "../sys/event-loop.ts";
import { Durations } from "../sys/metrics/prometheus-text.ts";
import { Rollback } from "../sys/rollback.ts";
import { wallClockMs } from "../sys/time.ts";
import { tracePhase } from "../sys/trace.ts";
import type { AgentClient } from "./agent-client.ts";
import { endingWithSilence } from "./agent-silence.ts";
import { assetHashes, checkAssetHashes } from "./asset-hashes.ts";
import { CrashRecorder } from "./crash-recorder.ts";
import { type MonitorUser, takeMonitorUser } from "./hypervisor/monitor-user.ts";
import type { VirtualMachine } from "./hypervisor/types.ts";
import { danFile } from "./network/dan-place.ts";
import { liveGuest } from "./network/live-guest.ts";
import { LiveNetwork } from "./network/live-network.ts";
import { chooseNetwork } from "./network/network-choice.ts";
import { isHostNetwork } from "./network/pod-network.ts";
import { CpuPlacement, setThreadAffinity } from "./resources/cpu-placement.ts";
import { allowingDisks } from "./resources/device-allow-list.ts";
import { placeOnHost } from "./resources/host-placement.ts";
import { hostSize, usableCpus } from "./resources/host-size.ts";
import { guestResources } from "./resources/machine-growth.ts";
import { MachineSizing } from "./resources/machine-sizing.ts";
import { type HostSize, sizeRange } from "./resources/sizing.ts";
import { makeRunDirectories, removeRunDirectories, removeWithParents } from "./run-directories.ts";
import { PodSandbox } from "./sandbox.ts";
import { sandboxInsight, timed } from "./sandbox-insight.ts";
import { sandboxPaths } from "./sandbox-paths.ts";
import { type SandboxSettings, sandboxSettings } from "./settings.ts";
import { startPod } from "./start/start-machine.ts";
import { giveBack } from "./start/start-parts.ts";
import { ContainerSwap } from "./storage/container-swap.ts";
import { GuestCopies } from "./storage/guest-copies.ts";
import { CopiedFiles, type HostFiles, SharedFiles } from "./storage/host-files.ts";
import { ChangesDisk } from "./storage/layer-changes.ts";
import { PodVolumes } from "./storage/pod-volumes.ts";
import { SandboxDisks } from "./storage/sandbox-disks.ts";
import type { SharedDirectory } from "./storage/shared-directory.ts";
import { giveSwapLater } from "./storage/swap-later.ts";
import type { Logger, Sandbox, SandboxRequest } from "./types.ts";
import type { CardDrivers } from "./vfio/card-drivers.ts";
import type { HostCards } from "./vfio/host-cards.ts";

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
  await checkAssetHashes(assetHashes(request.configuration));
  const paths = sandboxPaths(id);
  // Of machines on other hosts, this one's size says nothing.
  const host = settings.remote === undefined ? hostSize() : LARGEST_REMOTE;
  const range = sizeRange(settings.size, host, spec, settings.template.enabled);
  const choice = chooseNetwork(spec, {
    disableNewNamespace: settings.disableNewNetworkNamespace || settings.network.model === "none",
    description: danFile(settings.network.danDirectory, id),
    isElsewhere: settings.remote !== undefined,
    isHostNamespace: isHostNetwork,
  });
  const undo = new Rollback();
  const opening = tracePhase("shim", "open sandbox");
  const began = loop.now();
  try {
    makeRunDirectories(paths);
    undo.add("run directories", () => removeRunDirectories(paths));
    const record = new CrashRecorder(paths);
    const namespace = choice.kind === "namespace" ? choice.path : undefined;
    // Before there is anything to clean up.
    record.update({ networkNamespace: namespace });
    const { sandboxCgroupOnly } = settings;
    const { cgroups, vcpuGroup, devices } = await placeOnHost(
      { id, spec, sandboxCgroupOnly, logger },
      record,
      undo,
    );

    const cards = cardsOfHost(settings, record, undo, logger);
    const user = takeUser(id, settings, record, undo);
    const starting = tracePhase("shim", "start machine");
    const started = await startPod({ request, settings, paths, range, choice, record, cgroups, user }, undo);
    const { machine, share, fileServerEnded, kill, network, kind } = started;
    const agentCalls = new Durations();
    const agent = { ...started.agent, calls: timed(started.agent.calls, agentCalls, () => loop.now()) };
    starting();
    const files = hostFiles(settings, share, agent.calls, undo, logger);
    await files.showToPod(settings.bindMounts);
    const liveNetwork =
      network.pod === undefined
        ? undefined
        : new LiveNetwork({
            network: network.pod,
            guest: liveGuest(machine, agent.calls, { timeoutMs: settings.createContainerTimeoutMs }),
            canPlug: machine.capabilities.hotPlug.network,
            clock: loop,
            logger,
          });
    // A process that moves takes its threads along, wherever they were put before.
    const { placed = Promise.resolve() } = started;
    const placement = new CpuPlacement({
      threads: () => placed.then(() => machine.vcpuThreads()),
      group: vcpuGroup,
      pinning: settings.vcpusPinning,
      hostCpus: usableCpus(),
      setAffinity: setThreadAffinity,
      logger,
    });
    const ready = Promise.all([placed, placement.refresh()]);
    // Those who start a container hear of it.
    ready.catch(() => undefined);
    undo.add("following the network", () => liveNetwork?.end());
    opening();
    logger.info("sandbox is running", { machine: kind, ms: Math.round(loop.now() - began) });
    const volumes = new PodVolumes(id);
    undo.add("notes of volumes", () => volumes.releaseAll());
    const disks = new SandboxDisks(
      allowingDisks(machine, devices),
      settings.disks,
      logger,
      settings.vhostUser.reconnectSeconds,
    );
    const { swap: swapSettings } = settings;
    const swap =
      swapSettings === undefined
        ? undefined
        : new ContainerSwap({ sandboxId: id, directory: swapSettings.directory, disks, calls: agent.calls });
    if (swapSettings !== undefined)
      giveSwapLater(swapSettings, { id, machine, disks, calls: agent.calls, logger }, undo);
    return new PodSandbox({
      id,
      machine,
      agent: machine.endsUnnoticed === true ? endingWithSilence(agent, loop) : agent,
      insight: sandboxInsight({
        request,
        machine,
        calls: agent.calls,
        origin: kind,
        agentCalls,
        startedAt: wallClockMs(),
      }),
      sizing: new MachineSizing({
        machine,
        guest: guestResources(agent.calls),
        defaults: settings.size,
        host,
        ...range,
        placement,
        logger,
      }),
      storage: {
        files,
        disks,
        volumes,
        emptyDirs: settings.emptyDirs,
        blockRootfs: settings.blockRootfs,
        guestPull: settings.guestPull,
        swap: swap && { otherwise: settings.size.memoryMib * 2 ** 20, give: (bytes) => swap.give(bytes) },
        hostCards: cards === undefined ? undefined : () => cards(machine),
        vhostUserStore: settings.vhostUser.store,
        changes: new ChangesDisk(disks, settings.layerChanges, paths.disks),
        logger,
      },
      fileServerEnded,
      kill,
      undo,
      settled: async () => {
        await Promise.all([ready, liveNetwork?.settled()]);
      },
      constraints: settings.constraints,
      createContainerTimeoutMs: settings.createContainerTimeoutMs,
      clock: loop,
      logger,
    });
  } catch (error) {
    await giveBack(undo, request);
    throw error;
  }
}

/** As upstream's bound of `default_vcpus`, and more memory than any cloud's machine has. */
const LARGEST_REMOTE: HostSize = { cpus: 32, memoryMib: 64 << 20 };

/** How the host's files come to the guest. */
function hostFiles(
  settings: SandboxSettings,
  share: SharedDirectory,
  calls: AgentClient,
  undo: Rollback,
  logger: Logger,
): HostFiles {
  if (settings.sharesFiles) return new SharedFiles(share);
  const copies = new GuestCopies(calls, loop, logger);
  undo.add("following volumes", () => copies.forgetAll());
  return new CopiedFiles(copies, share, logger);
}

/** What plugs cards of the host into the machine; undefined if none is. Called before it starts: drivers get their cards after its end. */
function cardsOfHost(
  { machine: { options }, constraints }: SandboxSettings,
  record: CrashRecorder,
  undo: Rollback,
  logger: Logger,
): ((machine: VirtualMachine) => Promise<HostCards>) | undefined {
  const port = options.cardPort;
  if (port === undefined) return undefined;
  let drivers: CardDrivers | undefined;
  undo.add("drivers of the host's cards", () => drivers?.giveBackAll());
  let made: Promise<HostCards> | undefined;
  const make = async (machine: VirtualMachine): Promise<HostCards> => {
    const [{ CardDrivers }, { HostCards }] = await Promise.all([
      import("./vfio/card-drivers.ts"),
      import("./vfio/host-cards.ts"),
    ]);
    drivers = new CardDrivers(record.network, logger);
    const guestKernelDrives = constraints.guestKernelOwnsVfio;
    return new HostCards({ machine, port, drivers, guestKernelDrives, logger });
  };
  return (machine) => {
    made ??= make(machine);
    return made;
  };
}

/** Who the monitor runs as; undefined for root. */
function takeUser(
  id: string,
  { monitorIdentity }: SandboxSettings,
  record: CrashRecorder,
  undo: Rollback,
): MonitorUser | undefined {
  if (monitorIdentity.kind === "root") return undefined;
  const user = takeMonitorUser(id, monitorIdentity.named);
  undo.add("user of the monitor", () => removeWithParents(user.directory));
  record.update({ monitorDirectory: user.directory });
  return user;
}
