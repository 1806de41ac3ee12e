import { expect, test } from "vitest";
import { capacityOf, parsePciPath } from "./block-device.ts";

test("parsePciPath() reads slots and functions in hexadecimal", () => {
  expect(parsePciPath("02/1f.3/00")).toEqual([
    { slot: 2, function: 0 },
    { slot: 31, function: 3 },
    { slot: 0, function: 0 },
  ]);
});

test.each(["", "20", "../01", "0000:00:01.0", "01/", "01.8", "01/01/01/01/01/01/01/01/01"])(
  "parsePciPath() refuses %j",
  (path) => {
    expect(() => parsePciPath(path)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  },
);

test.each([
  [[], undefined],
  [["ro", "capacity=1073741824"], 1_073_741_824n],
])("capacityOf(%j) is %s", (options, bytes) => {
  expect(capacityOf(options)).toBe(bytes);
});

test.each(["capacity=", "capacity=-1", "capacity=1k", `capacity=${"9".repeat(19)}`])(
  "capacityOf() refuses %j",
  (option) => {
    expect(() => capacityOf([option])).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  },
);
