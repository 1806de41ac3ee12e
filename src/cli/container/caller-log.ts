/**
 * How a failure is told to an engine: in the file of `--log`, as text or JSON, and on standard error.
 * Source: runc's command line; engines report the last `msg` of level error.
 */
import { describeError } from "../../kata-error.ts";
import { O_APPEND, O_CREAT, O_WRONLY, open, writeAll } from "../../sys/files.ts";
import { writeSync } from "../../sys/program.ts";
import { utf8Encode } from "../../sys/utf8.ts";

export type LogFormat = "text" | "json";
export type LogLevel = "error" | "warning";

const STDERR = 2;

/** One record, with its newline. @param at milliseconds since 1970. */
export function logRecord(format: LogFormat, level: LogLevel, message: string, at: number): string {
  const time = `${new Date(at).toISOString().slice(0, 19)}Z`;
  if (format === "json") return `${JSON.stringify({ level, msg: message, time })}\n`;
  return `time=${JSON.stringify(time)} level=${level} msg=${JSON.stringify(message)}\n`;
}

export interface CallerLog {
  /** Empty for standard error alone. */
  readonly file: string;
  readonly format: LogFormat;
}

/** Tells of an error: a person at the terminal gets the plain line, a program its record. */
export function tellFailure({ file, format }: CallerLog, error: unknown): void {
  tell({ file, format }, "error", describeError(error));
}

export function tell({ file, format }: CallerLog, level: LogLevel, message: string): void {
  const record = logRecord(format, level, message, Date.now());
  if (file === "") {
    writeSync(STDERR, record);
    return;
  }
  using log = open(file, O_WRONLY | O_APPEND | O_CREAT, 0o644);
  writeAll(log.fd, utf8Encode(record));
  if (level === "error") writeSync(STDERR, `${message}\n`);
}
