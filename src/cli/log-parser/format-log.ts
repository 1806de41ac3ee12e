/** A merged log in each of the formats that there are. */
import { formatTime, type LogRecord } from "./log-record.ts";

export const LOG_FORMATS = ["text", "csv", "json", "ron", "toml", "xml", "yaml"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** Of what programs read. */
export const FORMAT_VERSION = "0.0.2";

/** A record among others. */
interface Entry {
  readonly Filename: string;
  readonly Line: number;
  /** From 1, in the order of time. */
  readonly Count: number;
  readonly Time: string;
  /** Since the record before, ns. */
  readonly TimeDelta: number;
  readonly Level: string;
  readonly Name: string;
  readonly Pid: number;
  readonly Source: string;
  readonly Container: string;
  readonly Sandbox: string;
  readonly Msg: string;
  readonly Data: Readonly<Record<string, string>>;
}

/** All records in the order of time; those of one time in the order of their files and lines. */
export function mergeRecords(logs: readonly (readonly LogRecord[])[]): readonly LogRecord[] {
  return logs.flat().sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

/** @param records in the order of time. */
export function formatLog(records: readonly LogRecord[], format: LogFormat): string {
  const entries = toEntries(records);
  switch (format) {
    case "text":
      return entries.map(textLine).join("");
    case "csv":
      return csv(entries);
    case "json":
      return `${JSON.stringify({ FormatVersion: FORMAT_VERSION, Entries: entries }, null, 2)}\n`;
    case "ron":
      return ron(entries);
    case "toml":
      return toml(entries);
    case "xml":
      return xml(entries);
    case "yaml":
      return yaml(entries);
  }
}

function toEntries(records: readonly LogRecord[]): readonly Entry[] {
  return records.map((record, index) => ({
    Filename: record.file,
    Line: record.line,
    Count: index + 1,
    Time: formatTime(record.time),
    TimeDelta: Number(record.time - (records[index - 1]?.time ?? record.time)),
    Level: record.level,
    Name: record.name,
    Pid: record.pid,
    Source: record.source,
    Container: record.container,
    Sandbox: record.sandbox,
    Msg: record.message,
    Data: record.data,
  }));
}

/** For a person: when, how long after the one before, how grave, who, what. */
function textLine({
  Time,
  TimeDelta,
  Level,
  Name,
  Pid,
  Source,
  Msg,
  Data,
  Container,
  Sandbox,
}: Entry): string {
  const about = Object.entries({
    ...(Sandbox && { sandbox: Sandbox }),
    ...(Container && { container: Container }),
    ...Data,
  });
  const pairs = about.map(
    ([name, value]) => ` ${name}=${/^[\w./:@+-]+$/.test(value) ? value : JSON.stringify(value)}`,
  );
  const after = `+${(TimeDelta / 1e9).toFixed(6)}`;
  return `${Time} ${after.padStart(11)} ${Level.padEnd(7)} ${Source} ${Name}[${Pid}]: ${printable(Msg)}${pairs.join("")}\n`;
}

/** A message may hold anything, and a terminal obeys. */
function printable(text: string): string {
  return text.replace(/[^\P{Cc}]/gu, (character) => JSON.stringify(character).slice(1, -1));
}

function csv(entries: readonly Entry[]): string {
  const header = [
    "Filename",
    "Line",
    "Count",
    "Time",
    "TimeDelta",
    "Level",
    "Name",
    "Pid",
    "Source",
    "Container",
    "Sandbox",
    "Msg",
    "Data",
  ];
  const cell = (value: unknown) => {
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = entries.map((entry) => Object.values(entry).map(cell).join(","));
  return `${[header.join(","), ...rows].join("\n")}\n`;
}

function toml(entries: readonly Entry[]): string {
  const tables = entries.map(({ Data, ...fields }) => {
    const lines = Object.entries(fields).map(([name, value]) => `${name} = ${tomlValue(value)}\n`);
    const data = Object.entries(Data).map(
      ([name, value]) => `${JSON.stringify(name)} = ${tomlValue(value)}\n`,
    );
    return `\n[[Entries]]\n${lines.join("")}${data.length === 0 ? "" : `[Entries.Data]\n${data.join("")}`}`;
  });
  return `FormatVersion = "${FORMAT_VERSION}"\n${tables.join("")}`;
}

/** JSON's escapes are TOML's, but for DEL, which TOML wants escaped. */
function tomlValue(value: string | number): string {
  return JSON.stringify(value).replaceAll("\x7f", "\\u007f");
}

function yaml(entries: readonly Entry[]): string {
  const items = entries.map(({ Data, ...fields }) => {
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
    const data = Object.entries(Data).map(
      ([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`,
    );
    const all = [...lines, ...(data.length === 0 ? ["Data: {}"] : ["Data:", ...data])];
    return `  - ${all.join("\n    ")}\n`;
  });
  return `FormatVersion: "${FORMAT_VERSION}"\nEntries:${items.length === 0 ? " []\n" : `\n${items.join("")}`}`;
}

/** Rusty Object Notation: structs in parentheses, maps in braces. */
function ron(entries: readonly Entry[]): string {
  const items = entries.map(({ Data, ...fields }) => {
    const lines = Object.entries(fields).map(([name, value]) => `            ${name}: ${ronValue(value)},\n`);
    const data = Object.entries(Data).map(([name, value]) => `${ronValue(name)}: ${ronValue(value)}`);
    return `        (\n${lines.join("")}            Data: {${data.join(", ")}},\n        ),\n`;
  });
  return `(\n    FormatVersion: "${FORMAT_VERSION}",\n    Entries: [\n${items.join("")}    ],\n)\n`;
}

/** Rust writes `\u{1f}` where JSON has four digits. */
function ronValue(value: string | number): string {
  return JSON.stringify(value).replace(
    /\\(?:u([0-9a-f]{4})|([bf])|(.))/g,
    (whole, code?: string, short?: string) => {
      if (code !== undefined) return `\\u{${code}}`;
      if (short !== undefined) return short === "b" ? "\\u{8}" : "\\u{c}";
      return whole;
    },
  );
}

function xml(entries: readonly Entry[]): string {
  const items = entries.map(({ Data, ...fields }) => {
    const lines = Object.entries(fields).map(
      ([name, value]) => `    <${name}>${xmlText(String(value))}</${name}>\n`,
    );
    const data = Object.entries(Data).map(
      ([name, value]) => `      <Field name="${xmlText(name)}">${xmlText(value)}</Field>\n`,
    );
    return `  <Entries>\n${lines.join("")}    <Data>\n${data.join("")}    </Data>\n  </Entries>\n`;
  });
  const head = '<?xml version="1.0" encoding="UTF-8"?>\n';
  return `${head}<LogEntries>\n  <FormatVersion>${FORMAT_VERSION}</FormatVersion>\n${items.join("")}</LogEntries>\n`;
}

const XML_ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};

function xmlText(text: string): string {
  // XML 1.0, 2.2: most control characters, half surrogates and two others cannot be written at all.
  const allowed = text.replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");
  return allowed
    .replace(/[&<>"]/g, (character) => XML_ENTITIES[character] ?? character)
    .replaceAll("\r", "&#13;");
}
