import fc from "fast-check";
import { parse as parseToml } from "smol-toml";
import { describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { formatRecord } from "../../sys/log.ts";
import { FORMAT_VERSION, formatLog, LOG_FORMATS, mergeRecords } from "./format-log.ts";
import { formatTime, type LogRecord, parseLevel, parseTime } from "./log-record.ts";
import { parseLine } from "./parse-line.ts";
import { readLog } from "./read-log.ts";

const OPTIONS = { ignoreMissingFields: false, keepAgentPacked: false };
const SHIM =
  'time="2026-01-02T03:04:05.000000006Z" level=info msg="it runs" name=shim pid=7 source=shim sandbox=s x="a b"';

function only(text: string, options = OPTIONS): LogRecord {
  const { records, rejected } = readLog("f", text, options);
  expect(rejected).toEqual([]);
  expect(records.length).toBe(1);
  return records[0] as LogRecord;
}

describe("a line", () => {
  test("of logfmt becomes a record", () => {
    expect(only(SHIM)).toEqual({
      file: "f",
      line: 1,
      time: 1_767_323_045_000_000_006n,
      level: "info",
      name: "shim",
      pid: 7,
      source: "shim",
      container: "",
      sandbox: "s",
      message: "it runs",
      data: { x: "a b" },
    });
  });

  test("of slog's JSON becomes a record, with its own names for fields", () => {
    const line =
      '{"msg":"m","level":"WARN","ts":"2026-01-02T03:04:05+01:00","name":"a","pid":"3","source":"agent","n":1}';
    expect(only(line)).toMatchObject({
      level: "warning",
      time: 1_767_319_445_000_000_000n,
      message: "m",
      data: { n: "1" },
    });
  });

  test("that the shim itself writes is a record with the message and fields as they were", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (message, value) => {
        const text = formatRecord(0, "error", message, { name: "n", source: "shim", pid: 1, value });
        const fields = parseLine(text.slice(0, -1));
        expect([fields?.get("msg"), fields?.get("value")]).toEqual([message, value]);
      }),
    );
  });

  test.each([
    ["a text", "hello world", "it is neither logfmt nor JSON"],
    ["half a JSON", '{"msg":', "it is neither logfmt nor JSON"],
    ["a list", "[1]", "it is neither logfmt nor JSON"],
    ["an open quotation", 'time="x', "it is neither logfmt nor JSON"],
    ["without fields", "level=info msg=m", "it has no time, name, pid, source"],
    [
      "a wrong time",
      SHIM.replace("2026-01-02T", "2026-01-02 at "),
      'its time "2026-01-02 at 03:04:05.000000006Z" is not as RFC 3339',
    ],
    ["a wrong level", SHIM.replace("info", "loud"), '"loud" is no level'],
    ["a wrong pid", SHIM.replace("pid=7", "pid=x"), 'its pid "x" is no process id'],
  ])("that is %s is told with its number and why", (_what, line, why) => {
    expect(readLog("f", `\n${line}\n`, OPTIONS)).toEqual({
      records: [],
      rejected: [{ file: "f", line: 2, why }],
    });
  });

  test("that lacks fields is a record where they may be missing", () => {
    expect(only("level=info msg=m", { ...OPTIONS, ignoreMissingFields: true })).toMatchObject({
      message: "m",
      pid: 0,
      time: 0n,
    });
  });

  test("with Go's escapes is read as Go wrote it", () => {
    expect(parseLine('msg="\\x41\\u00e9\\U0001F600\\a\\"\\\\n"')?.get("msg")).toBe('Aé😀\x07"\\n');
  });
});

describe("a record of the agent inside of the runtime's", () => {
  const inner =
    '{"msg":"inside","level":"DEBG","ts":"2026-01-02T03:04:04Z","name":"agent","pid":"1","source":"agent"}';
  const outer = SHIM.replace('"it runs"', JSON.stringify(inner));

  test("takes the place of the carrier, and keeps its sandbox", () => {
    expect(only(outer)).toMatchObject({
      message: "inside",
      level: "debug",
      name: "agent",
      sandbox: "s",
      time: 1_767_323_044_000_000_000n,
    });
  });

  test("stays packed on demand", () => {
    expect(only(outer, { ...OPTIONS, keepAgentPacked: true })).toMatchObject({
      message: inner,
      name: "shim",
    });
  });

  test("that is no record leaves the carrier's", () => {
    const line = SHIM.replace('"it runs"', JSON.stringify('{"msg":"x","level":"odd"}'));
    expect(only(line)).toMatchObject({ name: "shim", message: '{"msg":"x","level":"odd"}' });
  });
});

test("records of several logs come in the order of time, those of one time in that of their logs", () => {
  const at = (time: bigint, message: string) => ({ ...only(SHIM), time, message });
  const merged = mergeRecords([[at(3n, "c"), at(1n, "a")], [at(1n, "b")]]);
  expect(merged.map(({ message }) => message)).toEqual(["a", "b", "c"]);
});

describe("formats", () => {
  const records = fc.array(
    fc.record({
      file: fc.string({ unit: "binary" }),
      line: fc.nat(),
      // Within a hundred days, so that what lies between two is an integer for every reader.
      time: fc.bigInt({ min: 1_700_000_000_000_000_000n, max: 1_708_000_000_000_000_000n }),
      level: fc.constantFrom("info" as const, "error" as const),
      name: fc.string({ unit: "binary" }),
      pid: fc.nat(),
      source: fc.string(),
      container: fc.string(),
      sandbox: fc.string(),
      message: fc.string({ unit: "binary" }),
      data: fc.dictionary(fc.string({ minLength: 1 }), fc.string({ unit: "binary" }), { maxKeys: 3 }),
    }),
    { maxLength: 4 },
  );
  const readers = {
    json: JSON.parse,
    toml: parseToml,
    yaml: (text: string) => parseYaml(text, { uniqueKeys: false }),
  };

  test.each(Object.entries(readers))("%s says what the records say", (format, read) => {
    fc.assert(
      fc.property(records, (some) => {
        const log = read(formatLog(some, format as keyof typeof readers)) as {
          FormatVersion: string;
          Entries?: Record<string, unknown>[];
        };
        expect(log.FormatVersion).toBe(FORMAT_VERSION);
        const told = (log.Entries ?? []).map(({ Msg, Time, Filename, Pid, Data, Count }) => [
          Msg,
          Time,
          Filename,
          Pid,
          { ...(Data ?? {}) },
          Count,
        ]);
        expect(told).toEqual(
          some.map((each, i) => [
            each.message,
            formatTime(each.time),
            each.file,
            each.pid,
            { ...each.data },
            i + 1,
          ]),
        );
      }),
    );
  });

  const one = { ...only(SHIM), message: 'a "b"\n<c>\x1b[31m', data: { k: "v,w" } };
  const later = { ...one, time: one.time + 1_500_000_000n, message: "d" };

  test("text is a line a record, and no message can steer the terminal", () => {
    expect(formatLog([one, later], "text")).toBe(
      '2026-01-02T03:04:05.000000006Z   +0.000000 info    shim shim[7]: a "b"\\n<c>\\u001b[31m sandbox=s k="v,w"\n' +
        '2026-01-02T03:04:06.500000006Z   +1.500000 info    shim shim[7]: d sandbox=s k="v,w"\n',
    );
  });

  test("csv quotes what needs it", () => {
    expect(
      formatLog([{ ...one, message: 'a "b",\nc' }], "csv")
        .split("\n")
        .slice(1)
        .join("\n"),
    ).toBe('f,1,1,2026-01-02T03:04:05.000000006Z,0,info,shim,7,shim,,s,"a ""b"",\nc","{""k"":""v,w""}"\n');
  });

  test("xml has no character that XML does not have", () => {
    expect(formatLog([one], "xml")).toContain("<Msg>a &quot;b&quot;\n&lt;c&gt;\ufffd[31m</Msg>");
  });

  test("ron has Rust's escapes", () => {
    expect(formatLog([one], "ron")).toContain('Msg: "a \\"b\\"\\n<c>\\u{001b}[31m",');
  });

  test.each(LOG_FORMATS)("%s of no records is valid", (format) => {
    expect(formatLog([], format)).toMatchSnapshot();
  });
});

test("levels of all writers are known", () => {
  expect(["WARN", "warning", "ERRO", "crit", "TRCE", "Info", "x"].map(parseLevel)).toEqual([
    "warning",
    "warning",
    "error",
    "fatal",
    "trace",
    "info",
    undefined,
  ]);
});

test("times are read to the nanosecond and written back", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }), (time) => {
      expect(parseTime(formatTime(time))).toBe(time);
    }),
  );
});
