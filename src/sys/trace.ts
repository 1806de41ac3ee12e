/**
 * When what began and ended, for who wants to know where the time goes.
 *
 * Phases are kept in memory, a bounded number, and become a file only when somebody asks for it: "Trace Event Format", which
 * chrome://tracing and ui.perfetto.dev show. Their times are of the machine's monotonic clock, so that files of several processes fit
 * together.
 */
import { loop } from "./event-loop.ts";
import { mkdirAll, replaceFile } from "./files.ts";
import { getpid } from "./process.ts";

/** A row of the picture. */
export type TraceLane = "shim" | "calls" | "agent" | "monitor";

interface Phase {
  readonly lane: TraceLane;
  readonly name: string;
  /** Milliseconds. */
  readonly from: number;
  readonly to: number;
}

/** A start has some hundred; what comes after that in a long life is not told. */
const MAX_PHASES = 4096;

const LANES: readonly TraceLane[] = ["calls", "shim", "monitor", "agent"];

/** undefined: nothing is kept. */
let phases: Phase[] | undefined;
const NOTHING = () => undefined;

/** Begins to keep phases. */
export function startTrace(): void {
  phases ??= [];
}

/** Forgets them and keeps no more. */
export function dropTrace(): void {
  phases = undefined;
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

/** `work`, as a phase. */
export async function traced<T>(lane: TraceLane, name: string, work: Promise<T>): Promise<T> {
  const end = tracePhase(lane, name);
  try {
    return await work;
  } finally {
    end();
  }
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
