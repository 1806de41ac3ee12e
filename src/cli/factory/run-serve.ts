/** `kata-runtime factory serve`: what it does. */

import { poolKey } from "../../sandbox/pool/pool-key.ts";
import { PoolServer } from "../../sandbox/pool/pool-server.ts";
import { lowerPriority } from "../../sandbox/pool/priority.ts";
import { hostSize } from "../../sandbox/resources/host-size.ts";
import { sizeRange } from "../../sandbox/resources/sizing.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { setNonBlocking } from "../../sys/fd-stream.ts";
import { readlink } from "../../sys/files.ts";
import { getpid, listenForSignals, SIGINT, SIGTERM } from "../../sys/process.ts";
import { spawn } from "../../sys/spawn.ts";
import { textFlag } from "../flag-values.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK } from "../types.ts";
import { factoryLogger, factorySettings } from "./factory-settings.ts";

/** Where systemd leaves the first socket. Source: sd_listen_fds(3). */
const SYSTEMD_SOCKET = 3;
const STDERR = 2;

export async function runServe(context: CommandContext): Promise<number> {
  const settings = factorySettings(context);
  if (settings.pool.machines === 0) {
    context.output.progress("VM cache not enabled: vm_cache_number of [factory] is 0\n");
    return EXIT_FAILED;
  }
  const { environment, flags } = context;
  const logger = factoryLogger(settings, "pool");
  const config = textFlag(flags, "config");
  const server = new PoolServer({
    endpoint: settings.pool.endpoint,
    socket: socketOfSystemd(environment),
    plan: () => {
      const now = factorySettings(context);
      const range = sizeRange(now.size, hostSize(), { ociVersion: "1.1.0" }, true);
      const { vcpus, memoryMib } = range.boot;
      return { machines: now.pool.machines, key: poolKey(now, range), vcpus, memoryMib };
    },
    startKeeper: async (name, lifeline) => {
      await spawn({
        path: readlink("/proc/self/exe"),
        args: [
          "kata-runtime",
          ...(config === undefined ? [] : ["--config", config]),
          "factory",
          "keep",
          name,
        ],
        environment: Object.entries(environment).map(([key, value]) => `${key}=${value}`),
        descriptors: ["null", STDERR, STDERR, lifeline.fd],
        workingDirectory: "/",
        newSession: true,
        prepare: lowerPriority,
      });
    },
    clock: loop,
    logger,
  });
  using _signals = listenForSignals([SIGTERM, SIGINT], () => server.stop());
  logger.info("serving", { endpoint: settings.pool.endpoint, machines: settings.pool.machines });
  await server.serve();
  return EXIT_OK;
}

function socketOfSystemd({
  LISTEN_PID,
  LISTEN_FDS,
}: Readonly<Record<string, string>>): FileDescriptor | undefined {
  if (LISTEN_PID !== String(getpid()) || LISTEN_FDS !== "1") return undefined;
  setNonBlocking(SYSTEMD_SOCKET);
  return new FileDescriptor(SYSTEMD_SOCKET);
}
