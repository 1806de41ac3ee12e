import { expect, test } from "vitest";
import { driverRules } from "./device-allow-list.ts";

test("driverRules() find a driver's number in its own list", () => {
  const text =
    "Character devices:\n  1 mem\n241 vfio\n  7 loop\n\nBlock devices:\n  7 loop\n  8 sd\n241 vfio\n";
  expect(driverRules(text)).toEqual([
    { allow: true, type: "c", major: 241, access: "rwm" },
    { allow: true, type: "b", major: 7, access: "rwm" },
  ]);
  expect(driverRules("")).toEqual([]);
});
