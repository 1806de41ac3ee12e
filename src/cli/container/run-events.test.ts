import { expect, test } from "vitest";
import { intervalOf } from "./run-events.ts";

test.each([
  [undefined, 5000],
  ["5s", 5000],
  ["0.5s", 500],
  ["250ms", 250],
  ["2m", 120_000],
])("an interval of %s is %d ms", (text, ms) => {
  expect(intervalOf(text)).toBe(ms);
});

test.each(["", "5", "0s", "-1s", "5 s", "1d"])("an interval of %j is refused", (text) => {
  expect(() => intervalOf(text)).toThrowError(expect.objectContaining({ code: "invalid-argument" }));
});
