import { describe, expect, test } from "vitest";
import { guestNumaNodes } from "./numa.ts";

describe("guestNumaNodes()", () => {
  test("is one for each of the host's, with the rest in the first ones", () => {
    expect(guestNumaNodes([], [0, 2], { vcpus: 5, memoryMib: 4097 })).toEqual([
      { hostNodes: [0], firstVcpu: 0, lastVcpu: 2, memoryMib: 2049 },
      { hostNodes: [2], firstVcpu: 3, lastVcpu: 4, memoryMib: 2048 },
    ]);
  });

  test("follows a mapping, several of the host's included", () => {
    expect(guestNumaNodes(["0-1", "3"], [0, 1, 2, 3], { vcpus: 2, memoryMib: 512 })).toEqual([
      { hostNodes: [0, 1], firstVcpu: 0, lastVcpu: 0, memoryMib: 256 },
      { hostNodes: [3], firstVcpu: 1, lastVcpu: 1, memoryMib: 256 },
    ]);
  });

  test.each([
    [["7"], 4, /node 7 .*host's nodes: 0, 1/],
    [[], 1, /1 CPUs for 2 nodes/],
    [["x"], 4, /read CPU list/],
  ])("refuses the mapping %j for %d CPUs", (mapping, vcpus, about) => {
    expect(() => guestNumaNodes(mapping, [0, 1], { vcpus, memoryMib: 512 })).toThrow(about);
  });
});
