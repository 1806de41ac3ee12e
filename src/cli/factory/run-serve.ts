/** `kata-runtime factory serve`: what it does. */

import { isKeptName } from "../../sandbox/pool/kept-machines.ts";
import { poolKey } from "../../sandbox/pool/pool-key.ts";
import { PoolServer } from "../../sandbox/pool/pool-server.ts";
import { lowerPriority } from "../../sandbox/pool/priority.ts";
import { descriptorsOfManager, ServiceManager } from "../../sandbox/pool/service-manager.ts";
import { hostSize } from "../../sandbox/resources/host-size.ts";
import { sizeRange } from "../../sandbox/resources/sizing.ts";
import { loop } from "../../sys/event-loop.ts";
import { setNonBlocking } from "../../sys/fd-stream.ts";
import { readlink } from "../../sys/files.ts";
import { getpid, listenForSignals, SIGINT, SIGTERM } from "../../sys/process.ts";
import { exit } from "../../sys/program.ts";
import { spawn } from "../../sys/spawn.ts";
import { textFlag } from "../flag-values.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK } from "../types.ts";
import { factoryLogger, factorySettings } from "./factory-settings.ts";

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
  const given = descriptorsOfManager(environment, getpid());
  const socket = given.find(({ name }) => !isKeptName(name))?.descriptor;
  if (socket !== undefined) setNonBlocking(socket.fd);
  const server = new PoolServer({
    endpoint: settings.pool.endpoint,
    socket,
    manager: ServiceManager.of(environment),
    kept: given.filter(({ descriptor }) => descriptor !== socket),
    plan: () => {
      const now = factorySettings(context);
      const range = sizeRange(now.size, hostSize(), { ociVersion: "1.1.0" }, true);
      const { vcpus, memoryMib } = range.boot;
      const { machines, memoryBudgetMib } = now.pool;
      return { machines, memoryBudgetMib, key: () => poolKey(now, range), vcpus, memoryMib };
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
  // Keepers whose machines go on are children that nobody waits for.
  return exit(EXIT_OK);
}
