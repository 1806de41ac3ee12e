import { expect, test } from "vitest";
import {
  DEFAULT_OVERHEAD,
  formatBytes,
  limitFor,
  machineCpus,
  parseQuantity,
  referenceOverhead,
} from "./sizing.ts";

test.each([
  ["128Mi", "16Mi"],
  ["129Mi", "32Mi"],
  ["1Gi", "128Mi"],
  ["4Gi", "374Mi"],
  ["5Gi", "512Mi"],
  ["128Gi", "1Gi"],
  ["129Gi", undefined],
])("the overhead for a limit of %s is %s", (limit, overhead) => {
  const found = referenceOverhead(parseQuantity(limit) ?? 0);
  expect(found === undefined ? undefined : formatBytes(found)).toBe(overhead);
});

test("AKS's own overhead is enough for 8Gi by its table, and less than the smallest for nothing", () => {
  expect(formatBytes(limitFor(DEFAULT_OVERHEAD))).toBe("8Gi");
  expect(limitFor((16 << 20) - 1)).toBe(0);
});

test.each([
  [undefined, 1],
  [0.25, 1],
  [1, 1],
  [2.5, 3],
])("a CPU limit of %s makes a machine with %i", (limit, cpus) => {
  expect(machineCpus(limit)).toBe(cpus);
});

test.each([
  ["600Mi", 600 * 2 ** 20],
  ["1Gi", 2 ** 30],
  ["128974848", 128974848],
  ["129e6", 129e6],
  ["129M", 129e6],
  ["100m", 0.1],
  ["2.5", 2.5],
  ["1.5Gi", 1.5 * 2 ** 30],
  ["", undefined],
  ["1 Gi", undefined],
  ["1gi", undefined],
  ["Mi", undefined],
  ["1MiB", undefined],
  ["0x10", undefined],
  [`${"9".repeat(100)}`, undefined],
])("the quantity %j is %s", (text, value) => {
  expect(parseQuantity(text)).toBe(value);
});
