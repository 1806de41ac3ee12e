/** A record of a log, and what it takes to be one. */

export const LOG_LEVELS = ["panic", "fatal", "error", "warning", "info", "debug", "trace"] as const;
export type Level = (typeof LOG_LEVELS)[number];

export interface LogRecord {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** Nanoseconds since 1970. */
  readonly time: bigint;
  readonly level: Level | "";
  readonly name: string;
  readonly pid: number;
  readonly source: string;
  readonly container: string;
  readonly sandbox: string;
  readonly message: string;
  /** All other fields. */
  readonly data: Readonly<Record<string, string>>;
}

export type ReadRecord =
  | { readonly ok: true; readonly record: LogRecord }
  | { readonly ok: false; readonly why: string };

/** Other words for levels: logrus's short one, slog's (both spellings), syslog's. */
const LEVEL_WORDS: Readonly<Record<string, Level>> = {
  warn: "warning",
  erro: "error",
  err: "error",
  debg: "debug",
  trce: "trace",
  crit: "fatal",
  critical: "fatal",
};

/** @returns undefined for a word that is no level. */
export function parseLevel(word: string): Level | undefined {
  const lower = word.toLowerCase();
  if (Object.hasOwn(LEVEL_WORDS, lower)) return LEVEL_WORDS[lower];
  return LOG_LEVELS.find((level) => level === lower);
}

const TIME = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)$/;

/** A time as RFC 3339 writes it, in nanoseconds since 1970. @returns undefined for another text. */
export function parseTime(text: string): bigint | undefined {
  const [, date, time, fraction = "", zone = "Z"] = TIME.exec(text) ?? [];
  if (date === undefined || time === undefined) return undefined;
  const ms = Date.parse(`${date}T${time}${zone.toUpperCase()}`);
  if (Number.isNaN(ms)) return undefined;
  return BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}

/** `2026-01-02T03:04:05.000000006Z`. @param time nanoseconds since 1970. */
export function formatTime(time: bigint): string {
  const second = 1_000_000_000n;
  const fraction = ((time % second) + second) % second;
  const whole = new Date(Number((time - fraction) / 1_000_000n)).toISOString();
  return `${whole.slice(0, 19)}.${String(fraction).padStart(9, "0")}Z`;
}

/** The fields that a record must have. */
const REQUIRED = ["time", "level", "name", "pid", "source", "msg"] as const;

/** Other names of fields: those of slog's JSON and of Kata's runtimes. */
const ALIASES: Readonly<Record<string, string>> = {
  ts: "time",
  message: "msg",
  "container-id": "container",
  "sandbox-id": "sandbox",
};

/**
 * The record that `fields` make.
 *
 * @param lenient fields may be missing; what is there must be right all the same.
 */
export function toRecord(
  fields: ReadonlyMap<string, string>,
  place: { readonly file: string; readonly line: number },
  lenient: boolean,
): ReadRecord {
  const known = new Map<string, string>();
  const data: Record<string, string> = Object.create(null);
  for (const [name, value] of fields) {
    const key = ALIASES[name] ?? name;
    if (["container", "sandbox", ...REQUIRED].includes(key) && !known.has(key)) known.set(key, value);
    else data[name] = value;
  }
  const missing = REQUIRED.filter((name) => (known.get(name) ?? "") === "");
  if (!lenient && missing.length > 0) return { ok: false, why: `it has no ${missing.join(", ")}` };
  const of = (name: string) => known.get(name) ?? "";
  const time = of("time") === "" ? 0n : parseTime(of("time"));
  if (time === undefined)
    return { ok: false, why: `its time ${JSON.stringify(of("time"))} is not as RFC 3339` };
  const level = of("level") === "" ? "" : parseLevel(of("level"));
  if (level === undefined) return { ok: false, why: `${JSON.stringify(of("level"))} is no level` };
  const pid = of("pid") === "" ? 0 : Number(of("pid"));
  if (!Number.isSafeInteger(pid) || pid < 0 || (pid === 0 && !lenient)) {
    return { ok: false, why: `its pid ${JSON.stringify(of("pid"))} is no process id` };
  }
  return {
    ok: true,
    record: {
      ...place,
      time,
      level,
      name: of("name"),
      pid,
      source: of("source"),
      container: of("container"),
      sandbox: of("sandbox"),
      message: of("msg"),
      data,
    },
  };
}
