/** `kata-ctl metrics metrics-args` and `kata-ctl iptables metrics`: figures of every sandbox, where one is not named. */
import { describeError, hasCode } from "../../kata-error.ts";
import { MetricFamilies } from "../../sys/metrics/metric-families.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { askShim } from "../ask-shim.ts";
import { parseMetrics } from "../sandboxes/parse-metrics.ts";
import { findSandbox, sandboxIds } from "../sandboxes/sandbox-directories.ts";
import { type CommandContext, EXIT_FAILED, EXIT_OK } from "../types.ts";
import { type FilterRules, packetFilterFigures } from "./packet-filter-counters.ts";

/** Figures of all sandboxes that answer; each says whose it is. @returns 1 if one does not. */
export async function runMetricsOfAll({ flags, output }: CommandContext): Promise<number> {
  const families = new MetricFamilies();
  const status = await askAll(sandboxIds(), output, async (sandboxId) => {
    const answer = await askShim({ sandboxId, method: "GET", target: "/metrics" });
    families.add(utf8Decode(answer), { sandbox_id: sandboxId });
  });
  const { text } = families;
  output.data(flags.has("json") ? `${JSON.stringify(parseMetrics(text), null, 2)}\n` : text);
  return status;
}

/** What the packet filters of guests have counted. @returns 1 if a guest does not tell. */
export async function runPacketFilterMetrics({ flags, output }: CommandContext): Promise<number> {
  const named = flags.get("sandbox-id");
  const all: FilterRules[] = [];
  const [family, target] = flags.has("v6")
    ? (["ipv6", "/ip6tables"] as const)
    : (["ipv4", "/iptables"] as const);
  const ids = typeof named === "string" ? [findSandbox(named)] : sandboxIds();
  const status = await askAll(ids, output, async (sandboxId) => {
    const text = utf8Decode(await askShim({ sandboxId, method: "GET", target }));
    all.push({ sandboxId, family, text });
  });
  output.data(packetFilterFigures(all));
  return status;
}

async function askAll(
  ids: readonly string[],
  output: CommandContext["output"],
  ask: (sandboxId: string) => Promise<void>,
): Promise<number> {
  let status = EXIT_OK;
  for (const id of ids) {
    try {
      await ask(id);
    } catch (error) {
      // It has ended meanwhile.
      if (hasCode(error, "not-found")) continue;
      output.progress(`${id}: ${describeError(error)}\n`);
      status = EXIT_FAILED;
    }
  }
  return status;
}
