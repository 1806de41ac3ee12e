/** kata-agent: process 1 of the guest, and equally an ordinary process of a machine. */
import { describeError, hasCode, KataError } from "../kata-error.ts";
import type { FdStream } from "../sys/fd-stream.ts";
import { readTextFile } from "../sys/files.ts";
import { kernel } from "../sys/kernel.ts";
import { Logger } from "../sys/log.ts";
import {
  getpid,
  ignoreSignal,
  listenForSignals,
  PR_SET_DUMPABLE,
  prctl,
  SIGINT,
  SIGPIPE,
  SIGTERM,
} from "../sys/process.ts";
import { environment, exit, formatError, programArguments, runProgram, writeSync } from "../sys/program.ts";
import { parseArguments, USAGE } from "./arguments.ts";
import { offerShell, showShell } from "./boot/debug-console.ts";
import { type BootedGuest, bootGuest } from "./boot/guest-boot.ts";
import { KernelModules } from "./boot/kernel-modules.ts";
import { loadRequestedModule, requestedModule, serveModuleRequests } from "./boot/modprobe.ts";
import { enterOwnMounts } from "./boot/native-start.ts";
import { ChildReaper } from "./child-reaper.ts";
import { makeCgroupRoom } from "./container/container-cgroup.ts";
import { PAUSE_FLAG, pause } from "./image/pause-image.ts";
import { AGENT_SERIAL_PORT } from "./listen-address.ts";
import { closeGate } from "./policy/close-gate.ts";
import { agentExtension } from "./policy/load-extension.ts";
import { PolicyGate } from "./policy/policy-gate.ts";
import { serveAgent } from "./rpc/services.ts";
import { Sandbox } from "./sandbox/sandbox.ts";
import { chooseAddress, startServer } from "./server.ts";
import type { ParsedSettings } from "./settings.ts";
import { AGENT_VERSION } from "./version.ts";
import { expectsSerialPort } from "./virtio-serial.ts";

const EXIT_USAGE = 2;
const EXIT_FAILED = 1;

/** Whether this is the first process of a machine, and not of a container that somebody runs the agent in. */
function isGuestInit(): boolean {
  return getpid() === 1 && !programArguments.some((argument) => argument.startsWith("--server-addr"));
}

async function main(): Promise<number> {
  // A host or a process that is gone is an error of the write, not the end of the agent.
  ignoreSignal(SIGPIPE);
  // Nobody in a container may look into a copy of the agent that is on its way in, or at its binary (CVE-2016-9962,
  // CVE-2019-5736): clones inherit it, execve takes it back.
  prctl(PR_SET_DUMPABLE, 0);
  if (programArguments[0] === PAUSE_FLAG) return await pause();
  const module = requestedModule(programArguments);
  if (module !== undefined) return loadForKernel(module);
  return isGuestInit() ? await runGuest() : await runNative();
}

/** As the kernel's modprobe, which nobody listens to. @returns the exit status. */
function loadForKernel(module: string): number {
  try {
    loadRequestedModule(module);
    return 0;
  } catch (error) {
    if (hasCode(error, "not-found", "invalid-argument", "system-call")) return EXIT_FAILED;
    throw error;
  }
}

async function runGuest(): Promise<number> {
  const guest = bootGuest();
  serveModuleRequests(guest.initialRoot.fd);
  const commandLine = readTextFile("/proc/cmdline");
  const modules = new KernelModules(guest.initialRoot.fd, commandLine);
  modules.loadEarly();
  await mountExtensions(commandLine, modules);
  loadVsock(modules, guest.settings.serverAddress);
  const sandbox = prepare(guest, modules, guest.initialRoot.fd);
  closeGate(sandbox.context.policy, guest.initialRoot.fd, modules, sandbox.context.logger);
  if (guest.settings.debugConsole) startDebugConsole(guest, sandbox.context.logger);
  const server = startServer(
    chooseAddress(guest.settings.serverAddress),
    (stream) =>
      serveAgent(stream, sandbox, () => {
        // The host ends the machine; what it has on disks is safe by then.
        kernel().syscall("sync");
      }),
    sandbox.context.logger,
  );
  await server.ended;
  throw new KataError("internal", { operation: "run guest", object: "the server ended" });
}

/** Few guests have some. */
async function mountExtensions(commandLine: string, modules: KernelModules): Promise<void> {
  if (!commandLine.includes("kata.extension.")) return;
  const { extensionImages, mountExtensionImages } = await import("./boot/extension-images.ts");
  await mountExtensionImages(extensionImages(commandLine), modules);
}

const VSOCK_MODULE = "vmw_vsock_virtio_transport";

/** Loads what vsock needs if the agent is to be reached by it: a machine with the serial port has no use for it. */
function loadVsock(modules: KernelModules, configured: string | undefined): void {
  const isWanted = configured?.startsWith("vsock:") ?? !expectsSerialPort(AGENT_SERIAL_PORT);
  if (isWanted && modules.has(VSOCK_MODULE)) modules.load(VSOCK_MODULE);
}

/** A guest without its shell runs containers all the same. */
function startDebugConsole({ settings, initialRoot }: BootedGuest, logger: Logger): void {
  const failed = (error: unknown) => logger.error("no debug console", { error: describeError(error) });
  try {
    showShell(initialRoot.fd);
    offerShell(settings.debugConsolePort, logger).catch(failed);
  } catch (error) {
    failed(error);
  }
}

async function runNative(): Promise<number> {
  let command: ReturnType<typeof parseArguments>;
  try {
    command = parseArguments(programArguments, environment);
  } catch (error) {
    writeSync(2, `kata-agent: ${describeError(error)}\n`);
    return EXIT_USAGE;
  }
  if (command.do === "help") {
    writeSync(1, USAGE);
    return 0;
  }
  if (command.do === "version") {
    writeSync(1, `kata-agent ${AGENT_VERSION}\n`);
    return 0;
  }
  try {
    return await serveNatively(command.parsed, command.policyFile);
  } catch (error) {
    writeSync(2, `kata-agent: ${describeError(error)}\n`);
    return EXIT_FAILED;
  }
}

async function serveNatively(parsed: ParsedSettings, policyFile: string | undefined): Promise<number> {
  const address = chooseAddress(parsed.settings.serverAddress);
  enterOwnMounts();
  const sandbox = prepare(parsed, undefined);
  if (policyFile !== undefined && policyFile !== "") sandbox.context.policy.set(readTextFile(policyFile));
  const serve = (stream: FdStream) => serveAgent(stream, sandbox, () => server.stop());
  const server = startServer(address, serve, sandbox.context.logger);
  const signalled = new Promise<void>((resolve) => {
    listenForSignals([SIGTERM, SIGINT], () => resolve());
  });
  // After DestroySandbox the server ends when the host has hung up.
  await Promise.race([server.ended, signalled]);
  server.stop();
  await sandbox.destroy();
  return exit(0);
}

/** @param modules the guest's; undefined for an agent that is an ordinary process. */
function prepare(parsed: ParsedSettings, modules: KernelModules | undefined, initialRoot?: number): Sandbox {
  const { settings, warnings } = parsed;
  const isGuest = modules !== undefined;
  const logger = new Logger(2, settings.logLevel, { name: "kata-agent", source: "agent", pid: getpid() });
  for (const warning of warnings) logger.warn(warning);
  return new Sandbox({
    settings,
    reaper: new ChildReaper(),
    cgroups: makeCgroupRoom(isGuest ? "" : `kata-agent-${getpid()}`),
    logger,
    policy: new PolicyGate({
      logger,
      extension: agentExtension,
      logsRequests: settings.logLevel === "debug",
    }),
    isGuest,
    modules,
    initialRoot,
  });
}

runProgram(main, (error) => writeSync(2, `kata-agent: fatal: ${formatError(error)}\n`));
