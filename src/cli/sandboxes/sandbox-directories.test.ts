import { expect, test } from "vitest";
import { findSandbox, isSandboxName } from "./sandbox-directories.ts";

const IDS = ["abc", "abcd", "xyz"];

test.each([
  ["abc", "abc"],
  ["abcd", "abcd"],
  ["x", "xyz"],
])("findSandbox() takes %s for %s", (word, id) => {
  expect(findSandbox(word, IDS)).toBe(id);
});

test("isSandboxName() leaves out machines of the pool", () => {
  expect(
    ["web-1", "3f2a", "pool-1", "pool-8acd9f4115494aca-25486-6", "factory", "..", ".x"].map(isSandboxName),
  ).toEqual([true, true, true, false, false, false, false]);
});

test("findSandbox() refuses what fits several ids, or none", () => {
  expect(() => findSandbox("ab", IDS)).toThrow("2 ids begin so: abc, abcd");
  expect(() => findSandbox("no", IDS)).toThrow("kata-runtime ps shows those that run");
  expect(() => findSandbox("", IDS)).toThrow('find sandbox: ""');
  expect(() => findSandbox("no", [])).toThrow("no sandbox runs on this host");
});
