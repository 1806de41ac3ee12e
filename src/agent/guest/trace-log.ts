/** What the agent has recorded of its calls, for the host's trace of a pod. */
import { loop } from "../../sys/event-loop.ts";
import { takePhases } from "../../sys/trace.ts";

/** What GetDiagnosticData calls it. */
export const TRACE_LOG = "trace";

/** JSON: the guest's clock, ms, and the phases that have ended since the last call, by that clock. */
export function traceText(): string {
  return JSON.stringify({ now: loop.now(), phases: takePhases() });
}
