/**
 * Starting QEMU.
 *
 * Monitor, console and the agent's port are socket pairs of which QEMU inherits one end each, so nothing has to be polled for
 * and no socket lies in the file system. The guest boots while the rest of the sandbox is made.
 */
import { orCancelled, throwIfCancelled } from "../../../sys/cancellation.ts";
import { FdStream } from "../../../sys/fd-stream.ts";
import { Rollback } from "../../../sys/rollback.ts";
import { sendWithDescriptors, socketPair } from "../../../sys/socket.ts";
import { claimVsock } from "../../transport/vsock-cid.ts";
import { ConsoleLog } from "../console-log.ts";
import { checkGuestFiles, checkReadable } from "../guest-files.ts";
import { enterHelperNamespaces } from "../helper-confinement.ts";
import { becomeMonitorUser } from "../monitor-user.ts";
import { type RunningProgram, SupervisedProgram } from "../supervised-program.ts";
import type {
  AgentChannel,
  Hypervisor,
  MachineContext,
  MachineHandles,
  MachineOrigin,
  MachineSpec,
  VirtualMachine,
} from "../types.ts";
import { connectedSocket, type DeviceDescriptors, qemuArguments } from "./command-line.ts";
import { chooseFirmware } from "./fast-emulation.ts";
import { fingerprint } from "./fingerprint.ts";
import { copyFlashContents } from "./flash-chips.ts";
import { inheritNetworkCard } from "./network-card.ts";
import { type MonitorStream, QmpClient } from "./qmp-client.ts";
import { restoreState } from "./saved-state.ts";
import { QemuMachine } from "./virtual-machine.ts";

/** The agent's port on vsock. */
const AGENT_VSOCK_PORT = 1024;
/** The first descriptor after stdin, stdout and stderr. */
const FIRST_INHERITED = 3;
const SECTION = "[hypervisor.qemu]";

export const qemu: Hypervisor = {
  name: "QEMU",
  namesDisks: true,
  boot,
  fileServerIs: "connected",
  adopt,
  async fingerprint(spec) {
    checkGuestFiles(spec, SECTION);
    return fingerprint(spec);
  },
};

async function boot(
  request: MachineSpec,
  context: MachineContext,
  origin: MachineOrigin = { kind: "boot" },
): Promise<VirtualMachine> {
  const spec: MachineSpec = { ...request, firmware: chooseFirmware(request) };
  // Whoever goes on from a saved machine has compared what it was made from.
  if (origin.kind !== "saved") checkGuestFiles(spec, SECTION);
  if (spec.user !== undefined) checkReadable(spec, SECTION);
  copyFlashContents(spec);
  throwIfCancelled(context.signal);
  const undo = new Rollback();
  try {
    const monitor = socketPair();
    undo.add("monitor", () => [monitor.ours, monitor.theirs].forEach((end) => void end.close()));
    const console = socketPair();
    undo.add("console", () => [console.ours, console.theirs].forEach((end) => void end.close()));
    const inherited: number[] = [];
    const inherit = (fd: number) => FIRST_INHERITED - 1 + inherited.push(fd);

    // A saved machine finds the agent where it was, and a context id on vsock is not what it was.
    const vsock = origin.kind === "boot" ? claimVsock() : undefined;
    if (vsock !== undefined) undo.add("vsock", () => vsock.descriptor.close());
    const agent = vsock === undefined ? socketPair() : undefined;
    undo.add("agent channel", () => [agent?.ours, agent?.theirs].forEach((end) => void end?.close()));
    const devices = spec.devices.map((device): DeviceDescriptors => {
      if (device.kind === "disk") return { primary: -1 };
      if (device.kind === "shared-directory") return { primary: inherit(connectedSocket(device)) };
      return inheritNetworkCard(device, inherit);
    });
    const args = qemuArguments(spec, {
      monitor: inherit(monitor.theirs.fd),
      console: inherit(console.theirs.fd),
      agent: agent === undefined ? undefined : inherit(agent.theirs.fd),
      vsock: vsock === undefined ? undefined : { descriptor: inherit(vsock.descriptor.fd), cid: vsock.cid },
      devices,
      ...(origin.kind === "boot" ? {} : { memory: inherit(origin.memory) }),
      incoming: origin.kind === "saved",
    });
    const state = origin.kind === "saved" ? inherit(origin.state) : undefined;

    const { logger, clock } = context;
    const program = await SupervisedProgram.start({
      name: "QEMU",
      configurationKey: `path of ${SECTION}`,
      path: spec.program,
      args,
      inherited,
      environment: ["LANG=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
      prepare: () => {
        enterHelperNamespaces(spec);
        if (spec.user !== undefined) becomeMonitorUser(spec.user);
      },
      onOutput: (line) => logger.warn("QEMU", { output: line }),
      clock,
    });
    let connecting: Promise<QmpClient> | undefined;
    undo.add("connection to the monitor", async () => (await settled(connecting))?.close());
    // Before the step above, so that a connection that is still being made fails.
    undo.add("QEMU", () => program.stop(0));
    for (const end of [monitor.theirs, console.theirs, agent?.theirs, vsock?.descriptor]) end?.close();

    const descriptors = { monitor: monitor.ours.fd, console: console.ours.fd };
    const guestConsole = consoleLog(console.ours, context);
    undo.add("guest console", () => guestConsole.close());
    connecting = QmpClient.connect(monitorStream(new FdStream(monitor.ours)), clock);
    const client = await orCancelled(program.whileRunning("start QEMU", connecting), context.signal);
    logger.debug("QEMU is running", { pid: program.pid, version: client.version });
    if (origin.kind === "saved" && state !== undefined) {
      const restored = restoreState(client, state, origin.memoryReady);
      await orCancelled(program.whileRunning("restore machine", restored), context.signal);
    }
    undo.keep();
    return new QemuMachine({
      spec,
      program,
      client,
      guestConsole,
      agentChannel: agentChannel(agent?.ours, vsock?.cid),
      isTemplate: origin.kind === "template",
      clock,
      descriptors,
    });
  } catch (error) {
    await undo.run();
    throw error;
  }
}

function adopt(
  spec: MachineSpec,
  running: RunningProgram,
  { monitor, console, agent, monitorVersion, plugged }: Omit<MachineHandles, "process">,
  context: MachineContext,
): VirtualMachine {
  const descriptors = { monitor: monitor.fd, console: console.fd };
  return new QemuMachine({
    spec,
    program: new SupervisedProgram(running, context.clock),
    client: QmpClient.adopt(monitorStream(new FdStream(monitor)), context.clock, monitorVersion),
    guestConsole: consoleLog(console, context),
    agentChannel: agentChannel(agent, undefined),
    isTemplate: false,
    clock: context.clock,
    descriptors,
    plugged,
  });
}

function consoleLog(console: SocketEnd, { logger }: MachineContext): ConsoleLog {
  return new ConsoleLog(new FdStream(console), (line) => logger.debug("guest console", { line }));
}

/** What `work` resolves with, undefined if it fails. */
function settled<T>(work: Promise<T> | undefined): Promise<T | undefined> {
  return work === undefined ? Promise.resolve(undefined) : work.catch(() => undefined);
}

type SocketEnd = ReturnType<typeof socketPair>["ours"];

function agentChannel(ours: SocketEnd | undefined, cid: number | undefined): AgentChannel {
  if (ours !== undefined) return { kind: "stream", stream: new FdStream(ours), descriptor: ours.fd };
  return { kind: "vsock", cid: cid ?? 0, port: AGENT_VSOCK_PORT };
}

function monitorStream(stream: FdStream): MonitorStream {
  return {
    read: (into) => stream.read(into),
    write: (bytes) => stream.write(bytes),
    writeWithDescriptors: (bytes, descriptors) => sendWithDescriptors(stream, bytes, descriptors),
    close: () => stream.close(),
  };
}
