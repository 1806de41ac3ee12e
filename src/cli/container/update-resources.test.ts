import { describe, expect, test } from "vitest";
import { resourcesToSet } from "./update-resources.ts";

describe("resourcesToSet()", () => {
  test("lays the flags over what a file says", () => {
    const base = { memory: { limit: 1, swap: 2 }, cpu: { shares: 3 }, hugepageLimits: [] };
    const flags = new Map([
      ["memory", "64m"],
      ["memory-reservation", "1g"],
      ["cpu-quota", "-1"],
      ["cpuset-cpus", "0-1"],
      ["pids-limit", "5"],
      ["blkio-weight", "500"],
    ]);
    expect(resourcesToSet(base, flags)).toEqual({
      memory: { limit: 64 << 20, swap: 2, reservation: 1 << 30 },
      cpu: { shares: 3, quota: -1, cpus: "0-1" },
      pids: { limit: 5 },
      blockIO: { weight: 500 },
      hugepageLimits: [],
    });
    expect(resourcesToSet(base, new Map())).toEqual(base);
  });

  test.each([
    ["512", 512],
    ["1k", 1024],
    ["2MiB", 2 << 20],
    ["3gb", 3 * 2 ** 30],
    ["-1", -1],
  ])("reads %s as bytes", (text, bytes) => {
    expect(resourcesToSet({}, new Map([["memory", text]]))).toEqual({ memory: { limit: bytes } });
  });

  test.each([
    ["memory", "much", "invalid-argument"],
    ["memory", "1e9", "invalid-argument"],
    ["pids-limit", "1.5", "invalid-argument"],
    ["l3-cache-schema", "L3:0=f", "unsupported"],
  ])("refuses --%s %s", (name, text, code) => {
    expect(() => resourcesToSet({}, new Map([[name, text]]))).toThrowError(expect.objectContaining({ code }));
  });
});
