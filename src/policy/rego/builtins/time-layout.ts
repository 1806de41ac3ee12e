/** Times as text, by Go's layouts: the reference time written as the text shall look. Source: Go package time, "Layout". */
import { type CivilTime, DAY_SECONDS, daysInMonth, daysOf } from "./calendar.ts";

export const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
export const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** Go's named layouts, which OPA takes by name too. */
export const NAMED_LAYOUTS: Readonly<Record<string, string>> = {
  ANSIC: "Mon Jan _2 15:04:05 2006",
  UnixDate: "Mon Jan _2 15:04:05 MST 2006",
  RubyDate: "Mon Jan 02 15:04:05 -0700 2006",
  RFC822: "02 Jan 06 15:04 MST",
  RFC822Z: "02 Jan 06 15:04 -0700",
  RFC850: "Monday, 02-Jan-06 15:04:05 MST",
  RFC1123: "Mon, 02 Jan 2006 15:04:05 MST",
  RFC1123Z: "Mon, 02 Jan 2006 15:04:05 -0700",
  RFC3339: "2006-01-02T15:04:05Z07:00",
  RFC3339Nano: "2006-01-02T15:04:05.999999999Z07:00",
};

/** The parts of a layout that stand for something; the longest wins at each place. */
const PARTS =
  /January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|__2|_2(?!006)|002|01|02|03|04|05|06|15|PM|pm|Z070000|Z07:00:00|Z0700|Z07:00|Z07|-070000|-07:00:00|-0700|-07:00|-07|[.,]0+(?!\d)|[.,]9+(?!\d)|1|2|3|4|5/g;

/** Layout pieces: literal texts and parts by turns, beginning with a literal. */
function pieces(layout: string): { readonly literals: readonly string[]; readonly parts: readonly string[] } {
  const literals: string[] = [];
  const parts: string[] = [];
  let at = 0;
  for (const match of layout.matchAll(PARTS)) {
    literals.push(layout.slice(at, match.index));
    parts.push(match[0]);
    at = match.index + match[0].length;
  }
  literals.push(layout.slice(at));
  return { literals, parts };
}

export function formatTime(
  layout: string,
  time: CivilTime,
  zone: { readonly offset: number; readonly name: string },
): string {
  const { literals, parts } = pieces(layout);
  return parts.reduce(
    (text, part, i) => text + formatPart(part, time, zone) + (literals[i + 1] ?? ""),
    literals[0] ?? "",
  );
}

function formatPart(
  part: string,
  time: CivilTime,
  zone: { readonly offset: number; readonly name: string },
): string {
  const two = (value: number) => `${value}`.padStart(2, "0");
  const hour12 = time.hour % 12 === 0 ? 12 : time.hour % 12;
  switch (part) {
    case "January":
      return MONTHS[time.month - 1] ?? "";
    case "Jan":
      return (MONTHS[time.month - 1] ?? "").slice(0, 3);
    case "1":
      return `${time.month}`;
    case "01":
      return two(time.month);
    case "Monday":
      return WEEKDAYS[time.weekday] ?? "";
    case "Mon":
      return (WEEKDAYS[time.weekday] ?? "").slice(0, 3);
    case "2":
      return `${time.day}`;
    case "_2":
      return `${time.day}`.padStart(2, " ");
    case "02":
      return two(time.day);
    case "__2":
      return `${time.yearDay}`.padStart(3, " ");
    case "002":
      return `${time.yearDay}`.padStart(3, "0");
    case "15":
      return two(time.hour);
    case "3":
      return `${hour12}`;
    case "03":
      return two(hour12);
    case "4":
      return `${time.minute}`;
    case "04":
      return two(time.minute);
    case "5":
      return `${time.second}`;
    case "05":
      return two(time.second);
    case "2006":
      return time.year < 0 ? `-${`${-time.year}`.padStart(4, "0")}` : `${time.year}`.padStart(4, "0");
    case "06":
      return two(((time.year % 100) + 100) % 100);
    case "PM":
      return time.hour >= 12 ? "PM" : "AM";
    case "pm":
      return time.hour >= 12 ? "pm" : "am";
    case "MST":
      return zone.name;
    default:
      return part[0] === "." || part[0] === ","
        ? formatFraction(part, time.nanosecond)
        : formatOffset(part, zone.offset);
  }
}

function formatFraction(part: string, nanosecond: number): string {
  const digits = `${nanosecond}`.padStart(9, "0").slice(0, part.length - 1);
  if (part[1] === "0") return (part[0] ?? ".") + digits;
  const trimmed = digits.replace(/0+$/, "");
  return trimmed === "" ? "" : (part[0] ?? ".") + trimmed;
}

export function formatOffset(part: string, offset: number): string {
  if (part[0] === "Z" && offset === 0) return "Z";
  const size = Math.abs(offset);
  const two = (value: number) => `${value}`.padStart(2, "0");
  const colon = part.includes(":") ? ":" : "";
  let text = (offset < 0 ? "-" : "+") + two(Math.floor(size / 3600));
  const digits = part.replace(/\D/g, "").length;
  if (digits >= 4) text += colon + two(Math.floor((size % 3600) / 60));
  if (digits >= 6) text += colon + two(size % 60);
  return text;
}

export interface ParsedTime {
  /** Seconds since 1970 as if the text were UTC. */
  readonly seconds: number;
  readonly nanosecond: number;
  /** Seconds east of UTC, if the text says so. */
  readonly offset: number | undefined;
  readonly zone: string | undefined;
}

interface Fields {
  year: number;
  month: number;
  day: number;
  yearDay: number;
  hour: number;
  minute: number;
  second: number;
  nanosecond: number;
  half: "am" | "pm" | undefined;
  offset: number | undefined;
  zone: string | undefined;
}

/** The time that `text` gives in `layout`, or undefined if it does not follow it. */
export function parseTime(layout: string, text: string): ParsedTime | undefined {
  const { literals, parts } = pieces(layout);
  const fields: Fields = {
    year: 0,
    month: 0,
    day: 0,
    yearDay: 0,
    hour: 0,
    minute: 0,
    second: 0,
    nanosecond: 0,
    half: undefined,
    offset: undefined,
    zone: undefined,
  };
  let rest = text;
  for (let i = 0; i <= parts.length; i++) {
    const literal = literals[i] ?? "";
    if (!rest.startsWith(literal)) return undefined;
    rest = rest.slice(literal.length);
    const part = parts[i];
    if (part === undefined) break;
    const length = readPart(part, rest, fields);
    if (length === undefined) return undefined;
    rest = rest.slice(length);
    // Go takes a fraction behind the seconds even where the layout has none.
    const hasFraction = /^[.,]\d/.test(rest) && !/^[.,][09]/.test(parts[i + 1] ?? "");
    if ((part === "05" || part === "5") && hasFraction) rest = rest.slice(readFraction(rest, fields));
  }
  return rest === "" ? settle(fields) : undefined;
}

function readFraction(text: string, fields: Fields): number {
  const digits = /^[.,](\d+)/.exec(text)?.[1] ?? "";
  fields.nanosecond = Number(digits.slice(0, 9).padEnd(9, "0"));
  return digits.length + 1;
}

/** How much of `text` the part takes, its meaning put into `fields`. */
function readPart(part: string, text: string, fields: Fields): number | undefined {
  const number = (pattern: RegExp, put: (value: number) => void): number | undefined => {
    const found = pattern.exec(text)?.[0];
    if (found === undefined) return undefined;
    put(Number(found));
    return found.length;
  };
  const name = (
    names: readonly string[],
    length: number | undefined,
    put: (index: number) => void,
  ): number | undefined => {
    const index = names.findIndex((one) => text.toLowerCase().startsWith(one.slice(0, length).toLowerCase()));
    if (index < 0) return undefined;
    put(index);
    return (length ?? names[index]?.length) as number;
  };
  switch (part) {
    case "January":
      return name(MONTHS, undefined, (index) => {
        fields.month = index + 1;
      });
    case "Jan":
      return name(MONTHS, 3, (index) => {
        fields.month = index + 1;
      });
    case "Monday":
      return name(WEEKDAYS, undefined, () => undefined);
    case "Mon":
      return name(WEEKDAYS, 3, () => undefined);
    case "1":
    case "01":
      return number(part === "1" ? /^\d{1,2}/ : /^\d{2}/, (value) => {
        fields.month = value;
      });
    case "2":
    case "02":
    case "_2":
      return number(part === "02" ? /^\d{2}/ : /^ ?\d{1,2}/, (value) => {
        fields.day = value;
      });
    case "002":
    case "__2":
      return number(/^[ \d]{2}\d/, (value) => {
        fields.yearDay = value;
      });
    case "15":
    case "3":
    case "03":
      return number(part === "03" ? /^\d{2}/ : /^\d{1,2}/, (value) => {
        fields.hour = value;
      });
    case "4":
    case "04":
      return number(part === "4" ? /^\d{1,2}/ : /^\d{2}/, (value) => {
        fields.minute = value;
      });
    case "5":
    case "05":
      return number(part === "5" ? /^\d{1,2}/ : /^\d{2}/, (value) => {
        fields.second = value;
      });
    case "2006":
      return number(/^\d{4}/, (value) => {
        fields.year = value;
      });
    case "06":
      return number(/^\d{2}/, (value) => {
        fields.year = value >= 69 ? 1900 + value : 2000 + value;
      });
    case "PM":
    case "pm": {
      const half = /^(am|pm)/i.exec(text)?.[0];
      if (half === undefined) return undefined;
      fields.half = half.toLowerCase() === "pm" ? "pm" : "am";
      return 2;
    }
    case "MST": {
      const zone = /^([A-Z]{3,5}|[+-]\d{2})/.exec(text)?.[0];
      fields.zone = zone;
      return zone?.length;
    }
    default:
      if (part[0] === "." || part[0] === ",") return readLayoutFraction(part, text, fields);
      return readOffset(part, text, fields);
  }
}

function readLayoutFraction(part: string, text: string, fields: Fields): number | undefined {
  const digits = /^[.,](\d+)/.exec(text)?.[1];
  if (part[1] === "0") {
    if (digits === undefined || digits.length < part.length - 1) return undefined;
    readFraction(text.slice(0, part.length), fields);
    return part.length;
  }
  return digits === undefined ? 0 : readFraction(text, fields);
}

function readOffset(part: string, text: string, fields: Fields): number | undefined {
  if (part[0] === "Z" && text[0] === "Z") {
    fields.offset = 0;
    return 1;
  }
  const colon = part.includes(":") ? ":" : "";
  const groups = part.replace(/\D/g, "").length / 2;
  const match = new RegExp(
    `^([+-])(\\d{2})${groups > 1 ? `${colon}(\\d{2})` : ""}${groups > 2 ? `${colon}(\\d{2})` : ""}`,
  ).exec(text);
  if (!match) return undefined;
  const [all, sign, hours = "0", minutes = "0", seconds = "0"] = match;
  if (Number(hours) > 24 || Number(minutes) > 59) return undefined;
  fields.offset = (sign === "-" ? -1 : 1) * (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds));
  return all.length;
}

function settle(fields: Fields): ParsedTime | undefined {
  const { year, half, nanosecond, offset, zone } = fields;
  let { month, day, hour } = fields;
  if (half === "pm" && hour < 12) hour += 12;
  if (half === "am" && hour === 12) hour = 0;
  if (fields.yearDay > 0 && month === 0) {
    month = 1;
    day = fields.yearDay;
  } else {
    if (month === 0) month = 1;
    if (day === 0) day = 1;
    if (month > 12 || day > daysInMonth(year, month)) return undefined;
  }
  if (hour > 23 || fields.minute > 59 || fields.second > 59) return undefined;
  const seconds = daysOf(year, month, day) * DAY_SECONDS + hour * 3600 + fields.minute * 60 + fields.second;
  return { seconds, nanosecond, offset, zone };
}
