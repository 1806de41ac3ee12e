import { describe, expect, test } from "vitest";
import { componentsBelow, staysBelow } from "./copy-file.ts";

describe("componentsBelow()", () => {
  test("splits a path below the root", () => {
    expect(componentsBelow("/run/shared", "/run/shared//a/./b")).toEqual(["a", "b"]);
    expect(componentsBelow("/run/shared", "/run/shared")).toEqual([]);
  });

  test.each([
    "/etc/passwd",
    "/run/shared/../x",
    "/run/sharedother/x",
    "relative",
    "",
    `/run/shared/${"a/".repeat(65)}b`,
    "/run/shared/a\0b",
  ])("refuses %j", (path) => {
    expect(() => componentsBelow("/run/shared", path)).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});

test.each([
  [0, "..data/x", true],
  [0, "../x", false],
  [1, "../x", true],
  [1, "a/../../x", true],
  [1, "a/../../../x", false],
  [0, "/run/shared/x", true],
  [3, "/run/shared/../../etc/passwd", false],
  [3, "/etc/passwd", false],
])("staysBelow() tells where a link %i levels down to %j leads", (depth, target, stays) => {
  expect(staysBelow("/run/shared", depth, target)).toBe(stays);
});
