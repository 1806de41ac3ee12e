/** kata-monitor: the figures of all sandboxes of a host, for Prometheus. Runs under Node. */
import { describeError } from "../kata-error.ts";
import { formatRecord } from "../sys/log.ts";
import { COMMIT, VERSION } from "../version.ts";
import {
  LOG_LEVELS,
  type LogLevel,
  type MonitorCommand,
  parseMonitorArguments,
  USAGE,
} from "./monitor-arguments.ts";
import { Monitor, type MonitorLog } from "./monitor-server.ts";
import { PodNames } from "./pod-names.ts";
import { Shims } from "./shims.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

function main(words: readonly string[]): void {
  let command: MonitorCommand;
  try {
    command = parseMonitorArguments(words);
  } catch (error) {
    process.stderr.write(`kata-monitor: ${describeError(error)}\n`);
    process.exitCode = EXIT_USAGE;
    return;
  }
  if (command.do === "help") {
    process.stdout.write(USAGE);
    return;
  }
  if (command.do === "version") {
    process.stdout.write(
      `kata-monitor\n Version:\t${VERSION}\n Git commit:\t${COMMIT}\n OS/Arch:\tlinux/${process.arch}\n`,
    );
    return;
  }
  const { host, port, runtimeEndpoint, logLevel } = command.options;
  const log = logFrom(logLevel);
  let told = "";
  const names = new PodNames(runtimeEndpoint, (reason) => {
    // Where there is no such manager, it is not news each time.
    if (reason !== told) log.warn(`names of pods: ${runtimeEndpoint}: ${reason}`);
    told = reason;
  });
  const server = new Monitor({ shims: new Shims(), names, log }).server();
  server.on("error", (error) => {
    process.stderr.write(`kata-monitor: listen at ${host}:${port}: ${error.message}\n`);
    process.exitCode = EXIT_FAILED;
  });
  server.listen(port, host, () => {
    const at = server.address();
    log.info(`listening at ${typeof at === "object" && at !== null ? `${at.address}:${at.port}` : host}`);
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      server.close();
      server.closeAllConnections();
    });
  }
}

function logFrom(lowest: LogLevel): MonitorLog & { info(message: string): void } {
  const write = (rank: LogLevel, level: "debug" | "info" | "warning", message: string) => {
    if (LOG_LEVELS.indexOf(rank) < LOG_LEVELS.indexOf(lowest)) return;
    const fields = { name: "kata-monitor", source: "monitor", pid: process.pid };
    process.stderr.write(formatRecord(Date.now(), level, message, fields));
  };
  return {
    debug: (message) => write("debug", "debug", message),
    info: (message) => write("info", "info", message),
    warn: (message) => write("warn", "warning", message),
  };
}

main(process.argv.slice(2));
