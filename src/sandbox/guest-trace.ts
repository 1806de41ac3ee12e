/** The guest's part of a pod's trace: what the agent has recorded, moved to the host's clock. The guest may answer anything. */
import { KataError } from "../kata-error.ts";
import { loop } from "../sys/event-loop.ts";
import { addPhases, LANES, MAX_PHASES, type Phase } from "../sys/trace.ts";
import type { AgentClient } from "./agent-client.ts";

/** A pod that ends does not wait for a guest that is in trouble, ms. */
const ANSWER: { readonly timeoutMs: number } = { timeoutMs: 2000 };
/** Names are ours, of a few words. */
const MAX_NAME_LENGTH = 128;

/** Adds the agent's phases to this process's trace. @throws KataError if the agent does not answer, or nonsense. */
export async function takeGuestTrace(calls: Pick<AgentClient, "getDiagnosticData">): Promise<void> {
  const before = loop.now();
  const { data } = await calls.getDiagnosticData({ logType: "trace", containerId: "" }, ANSWER);
  const after = loop.now();
  const phases = parseGuestTrace(data);
  if (phases === undefined) {
    throw new KataError("malformed-message", {
      operation: "read the guest's trace",
      object: data.slice(0, 80),
    });
  }
  // The guest has read its clock somewhere between: half of the call's time is how far this may be wrong.
  addPhases(movedTo((before + after) / 2, phases));
}

interface GuestTrace {
  /** By the guest's clock, ms. */
  readonly now: number;
  readonly phases: readonly Phase[];
}

/** @returns undefined if `text` is not what our agent writes. */
export function parseGuestTrace(text: string): GuestTrace | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (!isRecord(value) || !isTime(value.now) || !Array.isArray(value.phases)) return undefined;
  const phases = value.phases.slice(0, MAX_PHASES).map(parsePhase);
  return phases.every((phase) => phase !== undefined) ? { now: value.now, phases } : undefined;
}

/** @param hostNow the host's clock when the guest's was read. */
export function movedTo(hostNow: number, { now, phases }: GuestTrace): Phase[] {
  return phases.map((phase) => ({
    ...phase,
    from: phase.from - now + hostNow,
    to: phase.to - now + hostNow,
  }));
}

function parsePhase(value: unknown): Phase | undefined {
  if (!isRecord(value) || typeof value.name !== "string" || !isTime(value.from) || !isTime(value.to)) {
    return undefined;
  }
  const lane = LANES.find((each) => each === value.lane && each.startsWith("guest"));
  return lane === undefined
    ? undefined
    : { lane, name: value.name.slice(0, MAX_NAME_LENGTH), from: value.from, to: value.to };
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
