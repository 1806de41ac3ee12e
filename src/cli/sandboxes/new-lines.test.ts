import { expect, test } from "vitest";
import { newLines } from "./new-lines.ts";

test.each([
  ["nothing has come", ["a", "b"], ["a", "b"], []],
  ["a line has come", ["a", "b"], ["a", "b", "c"], ["c"]],
  ["the oldest has gone", ["a", "b"], ["b", "c"], ["c"]],
  ["lines repeat", ["a", "a"], ["a", "a", "a"], ["a"]],
  ["all are others", ["a", "b"], ["x", "y"], ["x", "y"]],
  ["there were none", [], ["x"], ["x"]],
])("newLines() when %s", (_, before, after, expected) => {
  expect(newLines(before, after)).toEqual(expected);
});
