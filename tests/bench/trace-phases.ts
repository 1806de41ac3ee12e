/** Reading a pod's trace. Source: "Trace Event Format". */

/** A complete event (`X`), or the name of a row (`M`). */
interface TraceEvent {
  readonly ph: string;
  readonly name: string;
  readonly tid: number;
  /** µs. */
  readonly dur?: number;
  readonly args?: { readonly name?: string };
}

/**
 * How long each phase took, ms, in the order of their beginnings; what came several times is added up.
 *
 * @returns by the phase's row and name, such as `guest child: change root`.
 * @throws SyntaxError or TypeError for a file that is no trace.
 */
export function phasesOf(text: string): Map<string, number> {
  const { traceEvents } = JSON.parse(text) as { traceEvents: (TraceEvent & { readonly ts?: number })[] };
  const rows = new Map<number, string>();
  for (const { ph, tid, args } of traceEvents) if (ph === "M") rows.set(tid, args?.name ?? "");
  const complete = traceEvents.filter(({ ph }) => ph === "X").sort((a, b) => (a.ts ?? 0) - (b.ts ?? 0));
  const phases = new Map<string, number>();
  for (const { tid, name, dur = 0 } of complete) {
    const phase = `${rows.get(tid) ?? tid}: ${name}`;
    phases.set(phase, (phases.get(phase) ?? 0) + dur / 1000);
  }
  return phases;
}
