/** The calls that change how the agent cares for the guest's memory. */
import { KataError } from "../../kata-error.ts";
import type { CompactionSettings } from "../guest/memory-compaction.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import type { AgentServiceHandlers } from "./generated.ts";

type MemoryAgentCalls = Pick<AgentServiceHandlers, "memAgentMemcgSet" | "memAgentCompactSet">;

const MAX_PERCENT = 100;
const MAX_ORDER = 10;
/** A year: more is a mistake. */
const MAX_SECONDS = 366 * 24 * 3600;

export function memoryAgentCalls(sandbox: Sandbox): MemoryAgentCalls {
  const { enabled } = sandbox.context.settings.memoryAgent;
  return {
    async memAgentMemcgSet(request) {
      const others = Object.entries(request).filter(
        ([name, value]) => name !== "disabled" && value !== undefined,
      );
      sandbox.memoryAgent.configureAging(request.disabled === true && others.length === 0, enabled);
      return {};
    },

    async memAgentCompactSet(request) {
      const number = (name: string, value: number | bigint | undefined, max: number, min = 0) => {
        if (value === undefined || (value >= min && value <= max))
          return value === undefined ? undefined : Number(value);
        throw new KataError("invalid-argument", {
          operation: "set compaction of memory",
          object: `${name} ${value}`,
          hint: `it is ${min} to ${max}`,
        });
      };
      const forced = request.compactForceTimes;
      const change: { [K in keyof CompactionSettings]: CompactionSettings[K] | undefined } = {
        disabled: request.disabled,
        periodSeconds: number("period_secs", request.periodSecs, MAX_SECONDS, 1),
        periodPressureLimit: number("period_psi_percent_limit", request.periodPsiPercentLimit, MAX_PERCENT),
        pressureLimit: number("compact_psi_percent_limit", request.compactPsiPercentLimit, MAX_PERCENT),
        maxSeconds: number("compact_sec_max", request.compactSecMax, MAX_SECONDS),
        order: number("compact_order", request.compactOrder, MAX_ORDER),
        threshold: number("compact_threshold", request.compactThreshold, Number.MAX_SAFE_INTEGER),
        // The largest number stands for "never".
        forceTimes:
          forced === undefined
            ? undefined
            : forced >= Number.MAX_SAFE_INTEGER
              ? Number.POSITIVE_INFINITY
              : Number(forced),
      };
      const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
      sandbox.memoryAgent.configureCompaction(given as Partial<CompactionSettings>, enabled);
      return {};
    },
  };
}
