/** `events`: a container's statistics as JSON lines, once or at intervals until it ends. Source: runc's `events`. */
import { hasCode, KataError } from "../../kata-error.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { textFlag } from "../flag-values.ts";
import { EXIT_OK } from "../types.ts";
import { type ContainerCall, idOf } from "./container-call.ts";
import { taskStatus } from "./container-status.ts";
import { findContainer } from "./runtime-root.ts";
import { statsData } from "./stats-event.ts";
import { CALL, TaskConnection } from "./task-connection.ts";

const DEFAULT_INTERVAL_MS = 5000;
const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

export async function runEvents(call: ContainerCall): Promise<number> {
  const directory = findContainer(call.root, idOf(call));
  const { id } = directory;
  const interval = intervalOf(textFlag(call.flags, "interval"));
  using connection = await TaskConnection.open(directory);
  const tell = async () => {
    const { stats } = await connection.calls.stats({ id }, CALL);
    if (stats === undefined) throw new KataError("unavailable", { operation: "read statistics", object: id });
    call.output.data(`${JSON.stringify({ type: "stats", id, data: statsData(stats) })}\n`);
  };
  if (call.flags.has("stats")) {
    await tell();
    return EXIT_OK;
  }
  for (;;) {
    const status = await taskStatus(connection, id);
    if (status === "stopped") return EXIT_OK;
    try {
      await tell();
    } catch (error) {
      // It has ended since it was asked.
      if (!hasCode(error, "failed-precondition", "not-found", "unavailable")) throw error;
      return EXIT_OK;
    }
    await sleep(loop, interval);
  }
}

/** A duration as Go writes it, of one unit. */
export function intervalOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_INTERVAL_MS;
  const [, digits, unit = ""] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text) ?? [];
  const ms = Number(digits) * (UNITS_MS[unit] ?? 0);
  if (ms > 0) return ms;
  throw new KataError("invalid-argument", {
    operation: "read command line",
    object: `--interval ${JSON.stringify(text.slice(0, 40))}`,
    hint: "it is a duration above 0 as 5s or 500ms",
  });
}
