/** Times as nanoseconds since 1970, alone or with a time zone. Source: OPA policy reference, "Time". */
import { type BuiltinCall, builtin, fault, smallInteger } from "../builtin-registry.ts";
import { fromBigInt, toBigInt } from "../decimal.ts";
import { isArray, isNumber, type Value } from "../values.ts";
import { type CivilTime, civilTime, DAY_SECONDS, daysInMonth, daysOf } from "./calendar.ts";
import { formatTime, NAMED_LAYOUTS, parseTime, WEEKDAYS } from "./time-layout.ts";

const NANOSECONDS = 1_000_000_000n;
/** Times outside of what 64 bits of nanoseconds hold do not exist for OPA. */
const MAX_TIME = 2n ** 63n - 1n;

interface Zone {
  readonly offset: number;
  readonly name: string;
}

interface Moment {
  readonly seconds: number;
  readonly nanosecond: number;
  readonly zone: Zone;
  readonly layout: string | undefined;
}

const UTC: Zone = { offset: 0, name: "UTC" };

function inRange(time: bigint): bigint | undefined {
  return time <= MAX_TIME && time >= -MAX_TIME - 1n ? time : undefined;
}

function zoneAt(call: BuiltinCall, name: string, seconds: number): Zone {
  if (name === "" || name === "UTC") return UTC;
  const zone = call.host.zone?.(name === "Local" ? "UTC" : name, seconds);
  if (!zone) throw fault("time", `unknown time zone ${name}`);
  return zone;
}

/** Nanoseconds, or `[ns, zone]`, or `[ns, zone, layout]`. */
function moment(value: Value | undefined, call: BuiltinCall): Moment {
  const [time, zoneName = "", layout] = isArray(value) ? value : [value];
  const nanoseconds = isNumber(time) ? toBigInt(time) : undefined;
  if (nanoseconds === undefined) throw fault("time", "nanoseconds must be an integer");
  if (inRange(nanoseconds) === undefined) throw fault("time", "timestamp too big");
  if (typeof zoneName !== "string" || (layout !== undefined && typeof layout !== "string")) {
    throw fault("time", "time zone and layout must be strings");
  }
  const nanosecond = Number(((nanoseconds % NANOSECONDS) + NANOSECONDS) % NANOSECONDS);
  const seconds = Number((nanoseconds - BigInt(nanosecond)) / NANOSECONDS);
  return { seconds, nanosecond, zone: zoneAt(call, zoneName, seconds), layout };
}

function civil({ seconds, nanosecond, zone }: Moment): CivilTime {
  return civilTime(seconds + zone.offset, nanosecond);
}

function nanoseconds(seconds: number, nanosecond: number): Value | undefined {
  const time = inRange(BigInt(seconds) * NANOSECONDS + BigInt(nanosecond));
  return time === undefined ? undefined : fromBigInt(time);
}

function parse(name: string, layout: string, text: string, call: BuiltinCall): Value {
  const parsed = parseTime(NAMED_LAYOUTS[layout] ?? layout, text);
  if (!parsed) throw fault(name, `parsing time ${JSON.stringify(text)} as ${JSON.stringify(layout)} fails`);
  const zone =
    parsed.zone === undefined || parsed.zone === "UTC"
      ? undefined
      : call.host.zone?.(parsed.zone, parsed.seconds);
  const time = nanoseconds(parsed.seconds - (parsed.offset ?? zone?.offset ?? 0), parsed.nanosecond);
  if (time === undefined) throw fault(name, "time outside of valid range");
  return time;
}

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  μs: 1000n,
  ms: 1_000_000n,
  s: NANOSECONDS,
  m: 60n * NANOSECONDS,
  h: 3600n * NANOSECONDS,
  d: 24n * 3600n * NANOSECONDS,
  w: 7n * 24n * 3600n * NANOSECONDS,
  y: 365n * 24n * 3600n * NANOSECONDS,
};

/** Longest text of a duration: the pattern below takes time with the square of it. */
const MAX_DURATION_LENGTH = 200;

/** Go's durations with days, weeks and years: `1h15m30.918273645s`, `1d2h`. */
function parseDuration(text: string): Value {
  const match = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h|d|w|y))+|0)$/.exec(
    text.length > MAX_DURATION_LENGTH ? "" : text,
  );
  if (!match) throw fault("time.parse_duration_ns", `invalid duration ${JSON.stringify(text)}`);
  let total = 0n;
  for (const [, whole = "", fraction = "", unit = ""] of (match[2] ?? "").matchAll(
    /(\d*)\.?(\d*)(ns|us|µs|μs|ms|s|m|h|d|w|y)/g,
  )) {
    const scale = UNITS[unit] ?? 0n;
    total +=
      BigInt(whole || "0") * scale + (BigInt(fraction || "0") * scale) / 10n ** BigInt(fraction.length);
  }
  const signed = match[1] === "-" ? -total : total;
  if (inRange(signed) === undefined)
    throw fault("time.parse_duration_ns", `invalid duration ${JSON.stringify(text)}`);
  return fromBigInt(signed);
}

function addDate(
  value: Value | undefined,
  years: number,
  months: number,
  days: number,
  call: BuiltinCall,
): Value | undefined {
  const start = moment(value, call);
  const time = civil(start);
  const day = daysOf(time.year + years, time.month + months, time.day + days);
  if (!Number.isSafeInteger(day * DAY_SECONDS)) return undefined;
  const clock = time.hour * 3600 + time.minute * 60 + time.second;
  const local = day * DAY_SECONDS + clock;
  const zoneName = isArray(value) && typeof value[1] === "string" ? value[1] : "";
  const offset = zoneAt(call, zoneName, local - start.zone.offset).offset;
  return nanoseconds(local - offset, start.nanosecond);
}

/** Years, months, days, hours, minutes and seconds between two times. */
function difference(first: Moment, second: Moment): Value {
  const swap =
    first.seconds > second.seconds ||
    (first.seconds === second.seconds && first.nanosecond > second.nanosecond);
  const [from, to] = swap ? [second, first] : [first, second];
  const zone = first.zone;
  const a = civil({ ...from, zone });
  const b = civil({ ...to, zone });
  let years = b.year - a.year;
  let months = b.month - a.month;
  let days = b.day - a.day;
  let hours = b.hour - a.hour;
  let minutes = b.minute - a.minute;
  let seconds = b.second - a.second;
  if (seconds < 0) {
    seconds += 60;
    minutes--;
  }
  if (minutes < 0) {
    minutes += 60;
    hours--;
  }
  if (hours < 0) {
    hours += 24;
    days--;
  }
  if (days < 0) {
    days += daysInMonth(a.year, a.month);
    months--;
  }
  if (months < 0) {
    months += 12;
    years--;
  }
  return [years, months, days, hours, minutes, seconds];
}

function now(call: BuiltinCall): Value {
  const known = call.run.once.get("now");
  if (known !== undefined) return known;
  if (!call.host.now) throw fault("time.now_ns", "the host gives no time");
  const value = fromBigInt(call.host.now());
  call.run.once.set("now", value);
  return value;
}

/** RFC 3339 with as many groups of three digits as the fraction needs. */
function defaultLayout(nanosecond: number): string {
  if (nanosecond === 0) return "RFC3339";
  const digits = nanosecond % 1_000_000 === 0 ? 3 : nanosecond % 1000 === 0 ? 6 : 9;
  return `2006-01-02T15:04:05.${"0".repeat(digits)}Z07:00`;
}

const text = (value: Value | undefined) => (typeof value === "string" ? value : "");

export const TIMES = [
  builtin("time.now_ns", "", (_, call) => now(call)),
  builtin("time.parse_ns", "s,s", ([layout, value], call) =>
    parse("time.parse_ns", text(layout), text(value), call),
  ),
  builtin("time.parse_rfc3339_ns", "s", ([value], call) =>
    parse("time.parse_rfc3339_ns", "RFC3339", text(value), call),
  ),
  builtin("time.parse_duration_ns", "s", ([value]) => parseDuration(text(value))),
  builtin("time.format", "na", ([value], call) => {
    const time = moment(value, call);
    const layout = time.layout ?? defaultLayout(time.nanosecond);
    return formatTime(NAMED_LAYOUTS[layout] ?? layout, civil(time), time.zone);
  }),
  builtin("time.date", "na", ([value], call) => {
    const { year, month, day } = civil(moment(value, call));
    return [year, month, day];
  }),
  builtin("time.clock", "na", ([value], call) => {
    const { hour, minute, second } = civil(moment(value, call));
    return [hour, minute, second];
  }),
  builtin("time.weekday", "na", ([value], call) => WEEKDAYS[civil(moment(value, call)).weekday]),
  builtin("time.add_date", "na,n,n,n", ([value, years, months, days], call) => {
    const steps = [years, months, days].map(smallInteger);
    const [y, m, d] = steps;
    if (y === undefined || m === undefined || d === undefined)
      throw fault("time.add_date", "years, months and days must be integers");
    return addDate(value, y, m, d, call);
  }),
  builtin("time.diff", "na,na", ([a, b], call) => difference(moment(a, call), moment(b, call))),
];
