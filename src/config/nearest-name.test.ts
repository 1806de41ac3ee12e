import { expect, test } from "vitest";
import { nearestName, suggestion } from "./nearest-name.ts";

const KNOWN = ["kernel", "image", "initrd", "default_memory", "default_vcpus"];

test.each([
  ["kernle", "kernel", "neighbours swapped"],
  ["kernl", "kernel", "a letter missing"],
  ["kernell", "kernel", "a letter too many"],
  ["kerbel", "kernel", "another letter"],
  ["default_vcpu", "default_vcpus", "nearer than default_memory"],
  ["kernel", "kernel", "itself"],
  ["network", undefined, "nothing near"],
  ["", undefined, "empty"],
  ["k".repeat(10_000), undefined, "too long to be compared"],
])("nearestName(%j) is %j: %s", (name, expected, _why) => {
  expect(nearestName(name, KNOWN)).toBe(expected);
});

test("suggestion() asks, or says nothing", () => {
  expect(suggestion("imgae", KNOWN)).toBe("; did you mean image?");
  expect(suggestion("network", KNOWN)).toBe("");
});
