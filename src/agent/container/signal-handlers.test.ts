import { expect, test } from "vitest";
import { maskHolds } from "./signal-handlers.ts";

test.each([
  ["0000000000004000", 15, true],
  ["0000000000004000", 14, false],
  ["8000000000000000", 64, true],
  ["0", 1, false],
])("maskHolds(%s, %i) is %s", (mask, signal, holds) => {
  expect(maskHolds(mask, signal)).toBe(holds);
});
