/** All records of one log. */
import { type LogRecord, toRecord } from "./log-record.ts";
import { parseLine } from "./parse-line.ts";

export interface ReadOptions {
  /** Takes records that lack fields. */
  readonly ignoreMissingFields: boolean;
  /** Leaves an agent's record as the message of the runtime's that carries it. */
  readonly keepAgentPacked: boolean;
}

/** A line that is no record. */
export interface Rejected {
  readonly file: string;
  readonly line: number;
  readonly why: string;
}

export interface ReadLog {
  readonly records: readonly LogRecord[];
  readonly rejected: readonly Rejected[];
}

/** @param file its name, for the records. Empty lines are passed over. */
export function readLog(file: string, text: string, options: ReadOptions): ReadLog {
  const records: LogRecord[] = [];
  const rejected: Rejected[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const place = { file, line: index + 1 };
    const fields = parseLine(line);
    if (fields === undefined) {
      rejected.push({ ...place, why: "it is neither logfmt nor JSON" });
      continue;
    }
    const read = toRecord(fields, place, options.ignoreMissingFields);
    if (read.ok) records.push(options.keepAgentPacked ? read.record : unpack(read.record, options));
    else rejected.push({ ...place, why: read.why });
  }
  return { records, rejected };
}

/**
 * The agent writes its records to the guest's console, and the runtime's own record carries such a line as message. The
 * agent's is what tells; what it lacks comes from the runtime's.
 */
function unpack(outer: LogRecord, { ignoreMissingFields }: ReadOptions): LogRecord {
  if (!outer.message.startsWith("{")) return outer;
  const fields = parseLine(outer.message);
  if (fields === undefined || !["msg", "level"].every((name) => fields.has(name))) return outer;
  const { file, line } = outer;
  const whole = new Map([
    ["time", new Date(Number(outer.time / 1_000_000n)).toISOString()],
    ["name", outer.name],
    ["pid", String(outer.pid)],
    ["source", outer.source],
    ["container", outer.container],
    ["sandbox", outer.sandbox],
  ]);
  // slog calls the time `ts`; the carrier's own must not hide it.
  if (fields.has("ts")) whole.delete("time");
  for (const [name, value] of fields) whole.set(name, value);
  const inner = toRecord(whole, { file, line }, ignoreMissingFields);
  return inner.ok ? inner.record : outer;
}
