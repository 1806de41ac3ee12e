import { expect, test } from "vitest";
import { shownAge } from "./shown-age.ts";

test.each([
  [-5, "0s"],
  [999, "0s"],
  [119_000, "119s"],
  [120_000, "2m"],
  [7_199_000, "119m"],
  [7_200_000, "2h"],
  [172_800_000, "2d"],
])("shownAge(%i) is %s", (milliseconds, text) => {
  expect(shownAge(milliseconds)).toBe(text);
});
