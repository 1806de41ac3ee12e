/** What texts have to be like that a JSON schema gives a format. A format that is not known says nothing. Sources: as `json-schema.ts`. */
import { isIP } from "node:net";
import { Regex } from "../rego/regex/regex.ts";

const LABEL = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
const HOSTNAME = new RegExp(`^${LABEL}(\\.${LABEL})*$`);
const TIME = /^([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-4]):[0-5]\d)?$/;
const POINTER = "(?:/(?:[^~/]|~0|~1)*)*";
/** Of a URI nothing but its characters is looked at. */
const URI_REFERENCE = /^(?!:)[^\s\\\x00-\x1f\x7f<>"^`]*$/;

const FORMATS: Readonly<Record<string, (text: string) => boolean>> = {
  date: isDate,
  time: (text) => TIME.test(text),
  "date-time": (text) => {
    const [date = "", time] = text.split("T");
    return time === undefined
      ? isDate(text) || TIME.test(text)
      : isDate(date) && TIME.test(time) && /(Z|[+-]\d\d:\d\d)$/.test(time);
  },
  hostname: (text) => text.length < 256 && HOSTNAME.test(text),
  email: isEmail,
  "idn-email": isEmail,
  ipv4: (text) => isIP(text) === 4 || (isIP(text) === 6 && text.includes(".")),
  ipv6: (text) => isIP(text) === 6 && !text.includes("%"),
  uri: isUri,
  iri: isUri,
  "uri-reference": isReference,
  "iri-reference": isReference,
  "uri-template": (text) => !text.includes("\\") && /^([^{]*({[^}]*})?)*$/.test(text),
  uuid: (text) => /^[a-f0-9]{8}-([a-f0-9]{4}-){3}[a-f0-9]{12}$/i.test(text),
  regex: (text) => {
    try {
      new Regex(text);
      return true;
    } catch (error) {
      if (error instanceof Error) return false;
      throw error;
    }
  },
  "json-pointer": (text) => new RegExp(`^${POINTER}$`).test(text),
  "relative-json-pointer": (text) => new RegExp(`^(?:0|[1-9]\\d*)(?:#|${POINTER})$`).test(text),
};

export function hasFormat(format: string, text: string): boolean {
  return !Object.hasOwn(FORMATS, format) || FORMATS[format]?.(text) === true;
}

function isDate(text: string): boolean {
  const [, year, month, day] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text)?.map(Number) ?? [];
  if (year === undefined || month === undefined || day === undefined || month < 1 || month > 12) return false;
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const days = month === 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
  return day >= 1 && day <= days;
}

function isEmail(text: string): boolean {
  const address = /^(?:[^<>]*<)?([^<>@\s]+@[^<>@\s]+?)>?$/.exec(text.trim())?.[1];
  return address !== undefined && !/^\.|\.\.|\.@|@\.|\.$/.test(address);
}

function isReference(text: string): boolean {
  return URI_REFERENCE.test(text) && !/%(?![0-9a-fA-F]{2})/.test(text);
}

function isUri(text: string): boolean {
  return /^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(text) && isReference(text);
}
