import { expect, test } from "vitest";
import { countCpus } from "./online.ts";

test.each([
  ["0", 1],
  ["0-3", 4],
  ["0-1,4,6-7\n", 5],
  ["", 0],
  ["x", 0],
])("countCpus() reads the list %j", (list, count) => {
  expect(countCpus(list)).toBe(count);
});
