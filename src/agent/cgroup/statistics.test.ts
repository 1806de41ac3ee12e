import { expect, test } from "vitest";
import { parseBlockLines, parseCount, parseFlatKeyed, parseIoStat } from "./statistics.ts";

test.each([
  ["123", 123n],
  ["9223372036854771712", 9223372036854771712n],
  ["max", 7n],
  ["", 7n],
  ["-1", 7n],
  [undefined, 7n],
])("parseCount() reads %j", (text, expected) => {
  expect(parseCount(text, 7n)).toBe(expected);
});

test("parseFlatKeyed() keeps names with numbers and nothing else", () => {
  expect([...parseFlatKeyed("cache 10\nrss 20\nbad x\n\nalone\nneg -1\n")]).toEqual([
    ["cache", 10n],
    ["rss", 20n],
  ]);
});

test("parseBlockLines() leaves sums over all devices out", () => {
  expect(parseBlockLines("8:0 Read 5\n8:0 Write 6\n8:0 Total 11\nTotal 11\n")).toEqual([
    { major: 8, minor: 0, operation: "Read", value: 5n },
    { major: 8, minor: 0, operation: "Write", value: 6n },
    { major: 8, minor: 0, operation: "Total", value: 11n },
  ]);
});

test("parseIoStat() tells bytes and operations apart", () => {
  const text = "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n254:16 \n";
  expect(parseIoStat(text)).toEqual({
    serviceBytes: [
      { major: 254, minor: 0, operation: "Read", value: 1n },
      { major: 254, minor: 0, operation: "Write", value: 2n },
    ],
    serviced: [
      { major: 254, minor: 0, operation: "Read", value: 3n },
      { major: 254, minor: 0, operation: "Write", value: 4n },
    ],
  });
});
