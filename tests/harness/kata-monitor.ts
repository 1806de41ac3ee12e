/** kata-monitor while a test looks at what it serves. */
import { join } from "node:path";
import { startCommand } from "./command.ts";
import { eventually } from "./eventually.ts";
import { BUILT_PROGRAMS } from "./kata-configuration.ts";

const START_MS = 10_000;

export interface RunningMonitor extends AsyncDisposable {
  get(
    path: string,
    headers?: Record<string, string>,
  ): Promise<{ status: number; type: string | null; body: string }>;
  /** Tells it to end. @returns its exit status. */
  end(): Promise<number | undefined>;
}

/** @param endpoint socket of the container manager. */
export async function startKataMonitor(endpoint: string): Promise<RunningMonitor> {
  const program = join(BUILT_PROGRAMS, "kata-monitor");
  const monitor = startCommand(program, ["-listen-address", "127.0.0.1:0", "-runtime-endpoint", endpoint]);
  const address = await eventually(
    "kata-monitor listens",
    START_MS,
    async () => /listening at (127\.0\.0\.1:\d+)/.exec(monitor.stderr)?.[1],
    () => monitor.stderr,
  );
  return {
    async get(path, headers = {}) {
      const answer = await fetch(`http://${address}${path}`, { headers });
      return { status: answer.status, type: answer.headers.get("content-type"), body: await answer.text() };
    },
    async end() {
      monitor.signal("SIGTERM");
      return (await monitor.exited(START_MS)).status;
    },
    [Symbol.asyncDispose]: async () => await monitor[Symbol.asyncDispose](),
  };
}
