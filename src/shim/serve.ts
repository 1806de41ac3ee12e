/**
 * The shim that stays for the life of a pod: answers containerd's calls until the last container is deleted, or it is told to end.
 */
import { applyAnnotations } from "../config/index.ts";
import { describeError, hasCode, hasErrno, KataError } from "../kata-error.ts";
import { runHostHooks } from "../sandbox/hooks/host-hooks.ts";
import { loadConfiguration } from "../sandbox/load-configuration.ts";
import { openSandbox } from "../sandbox/open-sandbox.ts";
import type { Sandbox } from "../sandbox/types.ts";
import { withDeadline } from "../sys/clock.ts";
import { FileDescriptor } from "../sys/descriptor.ts";
import { loop } from "../sys/event-loop.ts";
import { setNonBlocking } from "../sys/fd-stream.ts";
import { unlinkIfExists } from "../sys/files.ts";
import { uname } from "../sys/host.ts";
import type { Logger } from "../sys/log.ts";
import { Durations } from "../sys/metrics/prometheus-text.ts";
import {
  getcwd,
  getpid,
  ignoreSignal,
  listenForSignals,
  SIGHUP,
  SIGINT,
  SIGTERM,
  SIGUSR1,
} from "../sys/process.ts";
import { environment } from "../sys/program.ts";
import { wallClockMs } from "../sys/time.ts";
import { dropTrace, startTrace, tracePhase, writeTrace } from "../sys/trace.ts";
import type { ShimArguments } from "./arguments.ts";
import { claimSandbox, noteHooks, readAddress, writeOutOfMemory } from "./bundle-files.ts";
import { Connections } from "./connections.ts";
import { raiseDescriptorLimit } from "./descriptor-limit.ts";
import { eventDelivery } from "./events/deliver-event.ts";
import { EventQueue } from "./events/event-queue.ts";
import { sandboxService, streamingService } from "./generated.ts";
import { CONFIGURATION_VARIABLE, LISTENING_FD } from "./launch-server.ts";
import type { ManagedPod } from "./management/managed-pod.ts";
import { serveManagement } from "./management/management-server.ts";
import { hostCgroupVersion } from "./metrics/cgroup-mode.ts";
import { NamedStreams } from "./named-streams.ts";
import { Pod, type PodParts } from "./pod/pod.ts";
import { readSpec } from "./read-spec.ts";
import { configurationPathOf } from "./runtime-options.ts";
import { ControlledSandbox } from "./sandbox-api/controlled-sandbox.ts";
import { writePodFiles } from "./sandbox-api/pod-files.ts";
import { type SandboxServiceFacts, sandboxHandlers } from "./sandbox-api/sandbox-service.ts";
import { openShimLog, RecentLines } from "./shim-log.ts";
import { withSingleLineErrors } from "./single-line-errors.ts";
import { ProcessStdio } from "./stdio.ts";
import { type ServiceFacts, taskHandlers, taskServices } from "./task/task-service.ts";

/**
 * A peer that has its answer closes the connection. Go's client may take our closing it at once for a call without an answer, and
 * containerd then takes a sandbox for one that could not be ended; who keeps a connection for later is waited for this long, ms.
 */
const HANG_UP_MS = 250;

/** At the end: for the answers that are under way, and for events that containerd has not taken yet, ms. */
const LAST_ANSWERS_MS = 1000;
const LAST_EVENTS_MS = 1500;

/** Where pods with `enable_tracing` leave what they did, a file each. */
const TRACES = "/run/kata-traces";

/** What Connect tells: the version of the task service that containerd's own shims name. */
const TASK_VERSION = "2";

/** Serves until the pod has ended. */
export async function serve(args: ShimArguments): Promise<void> {
  // Whether the pod wants it is known with its configuration.
  startTrace();
  const whole = tracePhase("shim", "serve");
  const bundle = args.bundle || getcwd();
  const recent = new RecentLines();
  const logger = openShimLog(bundle, args, recent);
  ignoreSignal(SIGHUP);
  raiseDescriptorLimit();
  const events = new EventQueue({
    deliver: eventDelivery({
      namespace: args.namespace,
      ttrpcAddress: environment.TTRPC_ADDRESS ?? "",
      grpcAddress: args.address,
      publishBinary: args.publishBinary,
      environment: Object.entries(environment).map(([name, value]) => `${name}=${value}`),
      clock: loop,
      logger,
    }),
    clock: loop,
    wallClock: wallClockMs,
    logger,
  });
  const streams = new NamedStreams();
  const calls = new Durations();
  const managed = (sandbox: Sandbox): ManagedPod => ({
    sandbox,
    pid: getpid(),
    containers: () => pod.containers,
    calls,
    log: () => recent.text,
  });
  const pod = new Pod(podParts(args.namespace, events, streams, logger, managed));
  const sandbox = new ControlledSandbox(pod, { writePodFiles });
  const facts = serviceFacts();
  const services = [
    ...taskServices(taskHandlers(pod, facts)),
    sandboxService(sandboxHandlers(pod, sandbox, facts)),
    streamingService(streams.handlers),
  ].map((service) => withSingleLineErrors(service, (method) => watchCall(calls, method)));
  const connections = new Connections(listeningSocket(), services, logger);
  using _signals = listenForSignals([SIGTERM, SIGINT, SIGUSR1], (signal) => {
    if (signal === SIGUSR1) return logPod(pod, logger);
    logger.info("told to end", { signal });
    void sandbox.shutdown();
  });
  const address = readAddress(bundle);
  const serving = connections.serve();
  await Promise.race([pod.ending, serving]);
  connections.refuseNew();
  if (address !== undefined) unlinkIfExists(address.replace(/^unix:\/\//, ""));
  await pod.ended;
  await lastAnswers(connections, logger);
  await events.flushed(LAST_EVENTS_MS);
  // Cgroups and directories: whoever has ended the pod does not wait for them.
  await pod.stopSandbox();
  whole();
  const trace = writeTrace(TRACES, args.id);
  if (trace !== undefined) logger.info("the trace was written", { file: trace });
}

async function lastAnswers(connections: Connections, logger: Logger): Promise<void> {
  const what = { operation: "end connections", object: "of the shim" };
  const waited = withDeadline(loop, HANG_UP_MS, what, connections.hungUp());
  await waited.catch((error: unknown) => {
    if (!hasCode(error, "deadline-exceeded")) throw error;
  });
  try {
    await withDeadline(loop, LAST_ANSWERS_MS, what, connections.ended());
  } catch (error) {
    if (!hasCode(error, "deadline-exceeded")) throw error;
    logger.debug("a connection is still open", { error: describeError(error) });
  }
}

/** What `start` has left under its number. */
function listeningSocket(): FileDescriptor {
  const socket = new FileDescriptor(LISTENING_FD);
  try {
    setNonBlocking(LISTENING_FD);
    return socket;
  } catch (error) {
    if (!hasErrno(error, "EBADF")) throw error;
    throw new KataError("invalid-argument", {
      operation: "serve",
      object: "no socket",
      hint: "containerd runs this program with 'start', which hands it the socket",
    });
  }
}

/** Notes how long a call of containerd takes, by the name that upstream gives it: `resize_pty`. */
function watchCall(calls: Durations, method: string): () => void {
  const began = loop.now();
  const action = method
    .replace("IO", "Io")
    .replace(/(?<=[a-z])[A-Z]/g, "_$&")
    .toLowerCase();
  return () => calls.observe(action, loop.now() - began);
}

function podParts(
  namespace: string,
  events: EventQueue,
  streams: NamedStreams,
  logger: Logger,
  managed: (sandbox: Sandbox) => ManagedPod,
): PodParts {
  return {
    openSandbox: async (request) => {
      const sandbox = await openSandbox(request);
      await offerManagement(managed(sandbox), logger);
      return sandbox;
    },
    openStreams: (sandbox, process, paths) =>
      ProcessStdio.open(sandbox, process, paths, { namespace, streams, clock: loop, logger }),
    readSpec,
    loadConfiguration: (options, spec) => {
      const option = configurationPathOf(options) || environment[CONFIGURATION_VARIABLE] || "";
      const ofNode = loadConfiguration({ option, environment: environment.KATA_CONF_FILE ?? "" });
      const configuration = applyAnnotations(ofNode, spec.annotations ?? {});
      const { runtime, hypervisor, agent } = configuration;
      if (!runtime.enable_tracing) dropTrace();
      if (runtime.enable_debug || hypervisor.enable_debug || agent.enable_debug) logger.showFrom("debug");
      return configuration;
    },
    claimSandbox,
    runHooks: (run) => runHostHooks({ ...run, clock: loop }),
    noteHooks,
    noteOutOfMemory: writeOutOfMemory,
    events,
    clock: loop,
    wallClock: wallClockMs,
    logger,
  };
}

/** For as long as the sandbox lives. A pod runs all the same where nobody can be offered this. */
async function offerManagement(pod: ManagedPod, logger: Logger): Promise<void> {
  try {
    const server = await serveManagement(pod, loop, logger);
    void pod.sandbox.exited.then(() => server.close());
  } catch (error) {
    logger.warn("no management socket", { error: describeError(error) });
  }
}

/** Go's names of the machines that {@link uname} tells of, where they differ. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x86_64: "amd64", aarch64: "arm64" };

function serviceFacts(): ServiceFacts & SandboxServiceFacts {
  const version = hostCgroupVersion();
  const { machine } = uname();
  return {
    architecture: ARCHITECTURES[machine] ?? machine,
    shimPid: getpid(),
    version: TASK_VERSION,
    packMetrics: async (statistics) =>
      (await import("./metrics/pack-metrics.ts")).packMetrics(version, statistics),
  };
}

/** For a person who wonders what a shim is about. */
function logPod(pod: Pod, logger: Logger): void {
  logger.info("pod", { hypervisor: pod.hypervisorPid, containers: pod.containers.length });
  for (const container of pod.containers) {
    for (const { name, state } of container.processes) logger.info("process", { name, state: state.name });
  }
}
