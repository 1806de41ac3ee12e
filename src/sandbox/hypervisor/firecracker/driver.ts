/**
 * Starting Firecracker.
 *
 * Its files are laid out, in a jail if there is a jailer; the program is started and its socket waited for; then it is told of the
 * machine, part by part, and starts it.
 */
import { describeError, hasCode, hasErrno, KataError } from "../../../kata-error.ts";
import { type CancelSignal, orCancelled, throwIfCancelled } from "../../../sys/cancellation.ts";
import { type Clock, sleep } from "../../../sys/clock.ts";
import type { FdStream } from "../../../sys/fd-stream.ts";
import { Rollback } from "../../../sys/rollback.ts";
import { connect, sendWithDescriptors } from "../../../sys/socket.ts";
import { checkGuestFiles } from "../guest-files.ts";
import { RestClient } from "../rest-client.ts";
import { SupervisedProgram } from "../supervised-program.ts";
import type { Hypervisor, MachineContext, MachineOrigin, MachineSpec, VirtualMachine } from "../types.ts";
import { FirecrackerApi } from "./api-client.ts";
import { Jail, machineId } from "./jail.ts";
import { bootArguments, describeMachine, type MachineDescription } from "./machine-description.ts";
import { type MonitorFiles, makeEmptyDrive, makeFifo, UnconfinedFiles } from "./monitor-files.ts";
import { readMetrics } from "./monitor-metrics.ts";
import { MonitorLog, readFifo } from "./monitor-reports.ts";
import { fingerprint, restoreMachine } from "./saved-machine.ts";
import { FIRECRACKER } from "./traits.ts";
import { FirecrackerMachine } from "./virtual-machine.ts";

const { name: NAME } = FIRECRACKER;
const SECTION = "[hypervisor.firecracker]";
/** Names in the monitor's directory; those of the FIFOs are upstream's. */
const API_SOCKET = "api.sock";
const LOG_FIFO = "logs.fifo";
const METRICS_FIFO = "metrics.fifo";
/** It listens within some ten milliseconds; the jailer copies its program before. */
const LISTEN_DEADLINE_MS = 10_000;
/** Between two tries to connect, ms: nothing tells that the socket is there. */
const CONNECT_INTERVAL_MS = 2;

export const firecracker: Hypervisor = {
  ...FIRECRACKER,
  boot,
  fingerprint: async (spec) => fingerprint(spec),
};

async function boot(
  spec: MachineSpec,
  context: MachineContext,
  origin: MachineOrigin = { kind: "boot" },
): Promise<VirtualMachine> {
  refuseMshv(spec);
  checkGuestFiles(spec, SECTION);
  throwIfCancelled(context.signal);
  const { clock, logger, signal } = context;
  const undo = new Rollback();
  try {
    const files = filesFor(spec);
    undo.add("files", () => files.remove());
    const log = new MonitorLog(makeFifo(files, LOG_FIFO), (line) => logger.debug(NAME, { line }));
    undo.add("log", () => log.close());
    const metrics = readFifo(makeFifo(files, METRICS_FIFO));
    undo.add("metrics", () => metrics.close());
    readMetrics(metrics, (counters) => logger.debug(`${NAME}'s metrics`, counters)).catch(
      (error: unknown) => {
        // Closed with the monitor.
        if (!hasCode(error, "closed")) logger.debug(`${NAME}'s metrics end`, { error: describeError(error) });
      },
    );
    const planned = describeMachine(spec, files);
    for (const { id } of planned.slots) makeEmptyDrive(files.host(id));

    const program = await SupervisedProgram.start({
      name: NAME,
      configurationKey: `${files instanceof Jail ? "jailer_path" : "path"} of ${SECTION}`,
      path: files.program,
      args: [...files.argumentsBefore, ...monitorArguments(spec, files)],
      inherited: [],
      environment: ["LANG=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
      prepare: () => files.prepare(),
      onOutput: (line) => logger.debug("guest console", { line }),
      clock,
    });
    undo.add(NAME, () => program.stop(0));

    const starting = start({ spec, files, planned, origin, clock, signal });
    const { client, version } = await orCancelled(program.whileRunning(`start ${NAME}`, starting), signal);
    logger.debug(`${NAME} is running`, { pid: program.pid, version, jailed: files instanceof Jail });
    // The jail is another namespace than the child's, which the monitor is in by now.
    files.started(program.pid);
    undo.keep();
    const closeReports = () => [log, metrics].forEach((each) => void each.close());
    const memory = origin.kind === "template" ? origin.memory : undefined;
    const parts = { spec, program, client, files, slots: planned.slots, log, memory, closeReports };
    return new FirecrackerMachine(parts);
  } catch (error) {
    await undo.run();
    throw spec.accelerator === "tcg" ? withoutVirtualization(error) : error;
  }
}

function filesFor(spec: MachineSpec): MonitorFiles {
  const { jailer = "" } = spec;
  return jailer === "" ? new UnconfinedFiles(spec) : Jail.make(spec, jailer);
}

function monitorArguments(spec: MachineSpec, files: MonitorFiles): string[] {
  return [
    // The jailer tells it the name by itself.
    ...(files.argumentsBefore.length > 0 ? [] : ["--id", machineId(spec.id)]),
    ...["--api-sock", files.monitor(API_SOCKET)],
    ...(spec.withoutSeccomp === true ? ["--no-seccomp"] : []),
  ];
}

interface Start {
  readonly spec: MachineSpec;
  readonly files: MonitorFiles;
  readonly planned: MachineDescription;
  readonly origin: MachineOrigin;
  readonly clock: Clock;
  readonly signal: CancelSignal | undefined;
}

async function start({ spec, files, planned, origin, clock, signal }: Start): Promise<Connection> {
  const stream = await connectWhenThere(files.host(API_SOCKET), clock, signal);
  const rest = new RestClient(
    NAME,
    {
      read: (into) => stream.read(into),
      write: (bytes) => stream.write(bytes),
      writeWithDescriptors: (bytes, descriptors) => sendWithDescriptors(stream, bytes, descriptors),
      close: () => stream.close(),
    },
    clock,
  );
  const client = new FirecrackerApi(rest);
  try {
    const { version } = await client.info();
    await client.setLogger({
      log_path: files.monitor(LOG_FIFO),
      level: spec.debug ? "Debug" : "Warning",
      show_level: true,
      show_log_origin: false,
    });
    await client.setMetrics(files.monitor(METRICS_FIFO));
    if (origin.kind === "saved") {
      await origin.memoryReady;
      await restoreMachine(client, files, origin);
    } else await describeAndStart(client, spec, planned, version);
    return { client, version };
  } catch (error) {
    client.close();
    throw error;
  }
}

async function describeAndStart(
  client: FirecrackerApi,
  spec: MachineSpec,
  planned: MachineDescription,
  version: string,
): Promise<void> {
  await client.setMachine(planned.machine);
  await client.setBootSource({ ...planned.boot, boot_args: bootArguments(spec, version) });
  for (const drive of planned.drives) await client.addDrive(drive);
  for (const card of planned.cards) await client.addNetworkInterface(card);
  await client.setVsock(planned.vsock);
  if (planned.entropy) await client.addEntropy();
  await client.start();
}

interface Connection {
  readonly client: FirecrackerApi;
  readonly version: string;
}

/** @throws KataError `deadline-exceeded` if nobody listens there in time. */
async function connectWhenThere(
  path: string,
  clock: Clock,
  signal: CancelSignal | undefined,
): Promise<FdStream> {
  const what = { operation: `reach ${NAME}`, object: path };
  const giveUp = clock.now() + LISTEN_DEADLINE_MS;
  for (;;) {
    throwIfCancelled(signal);
    try {
      return await connect({ kind: "unix", path });
    } catch (error) {
      if (!hasErrno(error, "ENOENT", "ECONNREFUSED")) throw error;
      if (clock.now() > giveUp) throw new KataError("deadline-exceeded", { ...what, cause: error });
    }
    await sleep(clock, CONNECT_INTERVAL_MS);
  }
}

function refuseMshv({ accelerator }: MachineSpec): void {
  if (accelerator !== "mshv") return;
  throw new KataError("unsupported", {
    operation: `start ${NAME}`,
    object: "a host with MSHV",
    hint: "it runs on KVM alone; use [hypervisor.clh]",
  });
}

/** It has no emulation, and says of a host without virtualization only which file it could not open. */
function withoutVirtualization(error: unknown): unknown {
  if (!hasCode(error, "hypervisor-error")) return error;
  return new KataError("unsupported", {
    operation: `start ${NAME}`,
    object: describeError(error),
    hint: "this host has no KVM that works; use the hypervisor qemu, which emulates a processor",
    cause: error,
  });
}
