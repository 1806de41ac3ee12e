import fc from "fast-check";
import { expect, test } from "vitest";
import {
  add,
  compareNumbers,
  divide,
  formatNumber,
  fromBigInt,
  multiply,
  parseNumber,
  type RegoNumber,
  remainder,
  roundTo,
  subtract,
} from "./decimal.ts";

const parse = (text: string): RegoNumber => {
  const value = parseNumber(text);
  if (value === undefined) throw new Error(`no number: ${text}`);
  return value;
};
const big = fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n });

test("integers of any size are added, subtracted and multiplied exactly", () => {
  fc.assert(
    fc.property(big, big, (a, b) => {
      const [x, y] = [fromBigInt(a), fromBigInt(b)];
      expect(formatNumber(add(x, y))).toBe(`${a + b}`);
      expect(formatNumber(subtract(x, y))).toBe(`${a - b}`);
      expect(formatNumber(multiply(x, y))).toBe(`${a * b}`);
      expect(compareNumbers(x, y)).toBe(a < b ? -1 : a > b ? 1 : 0);
      if (b !== 0n) expect(formatNumber(remainder(x, y) ?? 0)).toBe(`${a % b}`);
    }),
  );
});

test("a number's text denotes the number itself", () => {
  const number = fc
    .oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer())
    .map((value) => value + 0);
  fc.assert(
    fc.property(number, (value) => {
      expect(parse(formatNumber(parse(`${value}`)))).toEqual(value);
    }),
  );
});

test("fractions are exact where doubles are not", () => {
  expect(formatNumber(add(0.1, 0.2))).toBe("0.3");
  expect(formatNumber(multiply(1.1, 1.1))).toBe("1.21");
  expect(divide(15.3, 3)).toBe(5.1000000000000005);
  expect(compareNumbers(divide(1, 3) ?? 0, parse(`0.${"3".repeat(100)}`))).toBe(-1);
  expect(divide(1, 0)).toBeUndefined();
});

const roundings: [value: number, floor: number, ceil: number, nearest: number][] = [
  [-9.5, -10, -9, -10],
  [-9.4, -10, -9, -9],
  [9.5, 9, 10, 10],
  [0.49, 0, 1, 0],
  [3, 3, 3, 3],
];
for (const [value, floor, ceil, nearest] of roundings) {
  test(`roundTo() rounds ${value}`, () => {
    expect([roundTo(value, "floor"), roundTo(value, "ceil"), roundTo(value, "half-away-from-zero")]).toEqual([
      floor,
      ceil,
      nearest,
    ]);
  });
}

test("parseNumber() refuses what is no number or has too many digits", () => {
  for (const text of ["", "a", "1.", ".5", "0x1", "1e", "--1", "1".repeat(30_000), "1e99999"])
    expect(parseNumber(text)).toBeUndefined();
});
