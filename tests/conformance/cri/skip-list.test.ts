import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { MOST_SKIPPED, parseSkipList, skipPattern } from "./skip-list.ts";

describe("parseSkipList()", () => {
  test("reads a spec and its reason a line, and passes over comments and empty lines", () => {
    const text = "# why\n\n[k8s.io] A should # one, # two\nB with ReadOnly: false # three\n";
    expect([...parseSkipList(text)]).toEqual([
      ["[k8s.io] A should", "one, # two"],
      ["B with ReadOnly: false", "three"],
    ]);
  });

  test.each([
    ["A\n", "line 1: expected SPEC # REASON"],
    ["A # one\nB #\n", "line 2: expected SPEC # REASON"],
    ["A # one\n\nA # two\n", "line 3: a second time: A"],
  ])("refuses %j", (text, message) => {
    expect(() => parseSkipList(text)).toThrow(message);
  });

  test("refuses more specs than a runtime may leave out", () => {
    const list = (count: number) => Array.from({ length: count }, (_, index) => `${index} # why`).join("\n");
    expect(parseSkipList(list(MOST_SKIPPED)).size).toBe(12);
    expect(() => parseSkipList(list(MOST_SKIPPED + 1))).toThrow("13 specs, 12 at most");
  });

  test("reads the list that is used", () => {
    const text = readFileSync(join(import.meta.dirname, "skip-list.txt"), "utf8");
    expect(parseSkipList(text).size).toBeLessThanOrEqual(MOST_SKIPPED);
  });
});

describe("skipPattern()", () => {
  test("matches the names as they are, and none that goes on after them", () => {
    const pattern = new RegExp(skipPattern(["[k8s.io] A (b)", "C."]) ?? "never");
    const names = ["suite [k8s.io] A (b)", "C.", "[k8s.io] A (b) too", "Cx", "k A (b)"];
    expect(names.filter((name) => pattern.test(name))).toEqual(["suite [k8s.io] A (b)", "C."]);
    expect(skipPattern([])).toBeUndefined();
  });
});
