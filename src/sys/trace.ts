/**
 * When what began and ended, for who wants to know where the time goes.
 *
 * Phases are kept in memory, a bounded number, and become a file only when somebody asks for it: "Trace Event Format", which
 * chrome://tracing and ui.perfetto.dev show. Their times are of the machine's monotonic clock, so that files of several processes fit
 * together. A guest's phases come with a guest's clock: who takes them in moves them.
 */
import { loop } from "./event-loop.ts";
import { mkdirAll, replaceFile } from "./files.ts";
import { getpid } from "./process.ts";

/** Rows of the picture: the shim's calls, its own work, the monitor's and the agent's answers; then the agent itself and its children. */
export const LANES = ["calls", "shim", "monitor", "agent", "guest calls", "guest", "guest child"] as const;

export type TraceLane = (typeof LANES)[number];

export interface Phase {
  readonly lane: TraceLane;
  readonly name: string;
  /** Milliseconds. */
  readonly from: number;
  readonly to: number;
}

/** A start has some hundred; what comes after that in a long life is not told. */
export const MAX_PHASES = 4096;

/** undefined: nothing is kept. */
let phases: Phase[] | undefined;
/** Where what any process does goes: a guest's is not the shim's. */
let own: OwnLanes = { calls: "calls", work: "shim" };
const NOTHING = () => undefined;

export interface OwnLanes {
  /** Of the calls that this process answers. */
  readonly calls: TraceLane;
  /** Of what it does besides. */
  readonly work: TraceLane;
}

/** Begins to keep phases. */
export function startTrace(lanes: OwnLanes = own): void {
  own = lanes;
  phases ??= [];
}

/** Forgets them and keeps no more. */
export function dropTrace(): void {
  phases = undefined;
}

/** Whether phases are kept. */
export function isTracing(): boolean {
  return phases !== undefined;
}

/** Begins a phase. @returns what ends it. */
export function tracePhase(lane: TraceLane, name: string): () => void {
  const kept = phases;
  if (kept === undefined || kept.length >= MAX_PHASES) return NOTHING;
  const from = loop.now();
  return () => {
    if (kept.length < MAX_PHASES) kept.push({ lane, name, from, to: loop.now() });
  };
}

/** A call that this process answers, as a phase. @returns what ends it. */
export function traceCall(method: string): () => void {
  return tracePhase(own.calls, method);
}

/** Work of whatever process this is, as a phase. @returns what ends it. */
export function traceWork(name: string): () => void {
  return tracePhase(own.work, name);
}

/** `work`, as a phase. */
export async function traced<T>(lane: TraceLane, name: string, work: Promise<T>): Promise<T> {
  const end = tracePhase(lane, name);
  try {
    return await work;
  } finally {
    end();
  }
}

/** `work`, as a phase. */
export function tracedNow<T>(lane: TraceLane, name: string, work: () => T): T {
  const end = tracePhase(lane, name);
  try {
    return work();
  } finally {
    end();
  }
}

/** What was kept so far, which is forgotten then. */
export function takePhases(): readonly Phase[] {
  return phases?.splice(0) ?? [];
}

/** Keeps phases of another process, if any are kept. */
export function addPhases(added: readonly Phase[]): void {
  phases?.push(...added.slice(0, MAX_PHASES - phases.length));
}

/** Writes what was kept, if anything, into `directory`. @returns the file. */
export function writeTrace(directory: string, id: string): string | undefined {
  if (phases === undefined) return undefined;
  const pid = getpid();
  const names = LANES.map((lane, tid) => ({
    ph: "M",
    name: "thread_name",
    pid,
    tid,
    args: { name: lane },
  }));
  const events = phases.map(({ lane, name, from, to }) => ({
    ph: "X",
    name,
    pid,
    tid: LANES.indexOf(lane),
    ts: Math.round(from * 1000),
    dur: Math.round((to - from) * 1000),
  }));
  mkdirAll(directory, 0o700);
  const path = `${directory}/${id}.json`;
  replaceFile(path, JSON.stringify({ traceEvents: [...names, ...events] }));
  return path;
}
