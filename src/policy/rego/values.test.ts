import fc from "fast-check";
import { expect, test } from "vitest";
import { formatJson, formatRego, fromJson, parseJson } from "./json.ts";
import {
  compareStrings,
  compareValues,
  equalValues,
  keyOf,
  RegoObject,
  RegoSet,
  type Value,
} from "./values.ts";

const { value: anyValue } = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    fc.constantFrom<Value>(
      null,
      true,
      false,
      0,
      1,
      1.5,
      "",
      "a",
      "\0",
      "\0s",
      "\0[1,]",
      "\u{1f600}",
      "\uffff",
    ),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.array(tie("value"), { maxLength: 3 }).map((items) => RegoSet.of(items)),
    fc.array(fc.tuple(tie("value"), tie("value")), { maxLength: 3 }).map((entries) => RegoObject.of(entries)),
  ),
}));

test("values are equal exactly if their keys and their order say so", () => {
  fc.assert(
    fc.property(anyValue, anyValue, (a, b) => {
      const same = equalValues(a, b);
      expect(keyOf(a) === keyOf(b)).toBe(same);
      expect(compareValues(a, b) === 0).toBe(same);
      expect(Math.sign(compareValues(a, b))).toBe(-Math.sign(compareValues(b, a)) + 0);
    }),
    { numRuns: 2000 },
  );
});

test("types have OPA's order", () => {
  const ordered: Value[] = [
    null,
    false,
    true,
    -1,
    1.5,
    "a",
    "b",
    [],
    [1],
    new RegoObject(),
    RegoObject.of([["a", 1]]),
    new RegoSet(),
  ];
  expect([...ordered].reverse().sort(compareValues)).toEqual(ordered);
});

test("strings are ordered by code points, not by UTF-16 units", () => {
  expect(compareStrings("\u{1f600}", "\uffff")).toBe(1);
  expect(compareStrings("a", "ab")).toBe(-1);
});

test("parseJson() keeps what formatJson() wrote, numbers of any precision included", () => {
  const text =
    '{"a":[1,2.5,null,true,"\\u0000é"],"big":123456789012345678901234567890,"small":0.1234567890123456789}';
  expect(formatJson(parseJson(text))).toBe(text);
  fc.assert(
    fc.property(fc.jsonValue(), (json) => {
      const value = fromJson(json);
      expect(equalValues(parseJson(formatJson(value)), value)).toBe(true);
    }),
  );
});

test("parseJson() names the offset of a fault", () => {
  for (const text of [
    "{",
    "[1,]",
    '{"a" 1}',
    "1 2",
    "'a'",
    `${"[".repeat(5000)}`,
    '{"a":12345678901234567890,}',
  ]) {
    expect(() => parseJson(text)).toThrow(expect.objectContaining({ code: "invalid-json" }));
  }
});

test("formatRego() writes sets, empty sets and keys of any kind", () => {
  const value = RegoObject.of([
    [RegoSet.of([2, 1]), new RegoSet()],
    ["a", []],
  ]);
  expect(formatRego(value)).toBe('{"a": [], {1, 2}: set()}');
});
