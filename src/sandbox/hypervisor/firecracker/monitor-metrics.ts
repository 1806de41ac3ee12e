/**
 * Firecracker's metrics: each minute a line of JSON with groups of counters, most of them 0.
 * Source: Firecracker documentation, docs/metrics.md.
 */
import type { FdStream } from "../../../sys/fd-stream.ts";
import { utf8Decode } from "../../../sys/utf8.ts";

/** A report of all groups has some ten KiB. */
const MAX_LINE_BYTES = 256 << 10;
/** Of groups in groups; there are two levels. */
const MAX_DEPTH = 4;
const READ_BYTES = 16 << 10;

/**
 * The counters of one report that have counted anything, `GROUP.COUNTER`.
 *
 * @returns undefined for what is no report.
 */
export function countersOf(line: string): Readonly<Record<string, number>> | undefined {
  let report: unknown;
  try {
    report = JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (typeof report !== "object" || report === null) return undefined;
  return Object.fromEntries(counters(report, "", MAX_DEPTH));
}

function counters(group: object, prefix: string, depth: number): [name: string, value: number][] {
  return Object.entries(group).flatMap(([name, value]: [string, unknown]): [string, number][] => {
    if (typeof value === "number" && value !== 0) return [[`${prefix}${name}`, value]];
    if (typeof value !== "object" || value === null || depth === 0) return [];
    return counters(value, `${prefix}${name}.`, depth - 1);
  });
}

/** Reads reports to the stream's end. A line that is too long to be one is passed over. */
export async function readMetrics(
  stream: Pick<FdStream, "read">,
  onReport: (counters: Readonly<Record<string, number>>) => void,
): Promise<void> {
  const chunk = new Uint8Array(READ_BYTES);
  let text = "";
  for (let count = await stream.read(chunk); count > 0; count = await stream.read(chunk)) {
    const lines = (text + utf8Decode(chunk.subarray(0, count))).split("\n");
    text = lines.pop() ?? "";
    if (text.length > MAX_LINE_BYTES) text = "";
    for (const line of lines) {
      const report = countersOf(line);
      if (report !== undefined) onReport(report);
    }
  }
}
