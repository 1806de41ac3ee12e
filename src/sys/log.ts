/**
 * Log lines for people and for `kata-log-parser`: logfmt, one line a record.
 *
 * Writing never waits: a reader that is gone or slow costs lines, not the pod.
 */
import { kernel } from "./kernel.ts";
import { utf8Encode } from "./utf8.ts";

export type LogLevel = "debug" | "info" | "warning" | "error";

export type LogFields = Readonly<Record<string, unknown>>;

const RANKS: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warning: 2, error: 3 };

/** Longest value in a line, characters: a foreign text may be of any length. */
const MAX_VALUE_LENGTH = 4096;

/** One record as logfmt, with its newline. @param at milliseconds since 1970. */
export function formatRecord(at: number, level: LogLevel, message: string, fields: LogFields): string {
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${quoteValue(value)}`);
  return `time="${new Date(at).toISOString()}" level=${level} msg=${quoteValue(message)}${pairs.join("")}\n`;
}

function quoteValue(value: unknown): string {
  const text = typeof value === "string" ? value : value instanceof Error ? value.message : String(value);
  const shown = text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH)}…` : text;
  return /^[\w./:@+-]+$/.test(shown) ? shown : JSON.stringify(shown);
}

export class Logger {
  readonly #fd: number;
  readonly #onLine: (line: string) => void;
  #lowest: number;
  readonly #fields: LogFields;

  /**
   * @param fd a non-blocking descriptor, or one that never blocks.
   * @param fields in every record.
   * @param onLine hears of each line that is written.
   */
  constructor(
    fd: number,
    lowest: LogLevel,
    fields: LogFields,
    onLine: (line: string) => void = () => undefined,
  ) {
    this.#fd = fd;
    this.#onLine = onLine;
    this.#lowest = RANKS[lowest];
    this.#fields = fields;
  }

  /** Shows records of `level` and above from now on. */
  showFrom(level: LogLevel): void {
    this.#lowest = RANKS[level];
  }

  debug(message: string, fields: LogFields = {}): void {
    this.#write("debug", message, fields);
  }

  info(message: string, fields: LogFields = {}): void {
    this.#write("info", message, fields);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#write("warning", message, fields);
  }

  error(message: string, fields: LogFields = {}): void {
    this.#write("error", message, fields);
  }

  #write(level: LogLevel, message: string, fields: LogFields): void {
    if (RANKS[level] < this.#lowest) return;
    const text = formatRecord(Date.now(), level, message, { ...this.#fields, ...fields });
    const line = utf8Encode(text);
    kernel().syscall("write", this.#fd, line, line.length);
    this.#onLine(text);
  }
}
