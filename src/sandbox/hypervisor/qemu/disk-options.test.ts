import { expect, test } from "vitest";
import { throttleLimits, throttleNode } from "./disk-options.ts";
import type { BlockNode } from "./qmp-messages.ts";

const NONE = { bandwidth: 0, bandwidthBurst: 0, operations: 0, operationsBurst: 0 };

test.each([
  ["nothing", undefined, undefined],
  ["no limit", NONE, undefined],
  ["a burst beyond no limit", { ...NONE, bandwidthBurst: 80, operationsBurst: 5 }, undefined],
  ["bits per second", { ...NONE, bandwidth: 8001 }, { "bps-total": 1000 }],
  [
    "bits with a burst",
    { ...NONE, bandwidth: 8000, bandwidthBurst: 800 },
    { "bps-total": 1000, "bps-total-max": 1100 },
  ],
  ["operations", { ...NONE, operations: 50 }, { "iops-total": 50 }],
  [
    "operations with a burst",
    { ...NONE, operations: 50, operationsBurst: 9 },
    { "iops-total": 50, "iops-total-max": 59 },
  ],
])("throttleLimits() of %s", (_what, rates, limits) => {
  expect(throttleLimits(rates)).toEqual(limits);
});

test("throttleNode() takes the name of the node that it holds back", () => {
  const cache = { direct: false, "no-flush": false };
  const below = {
    driver: "raw",
    "node-name": "d-node",
    "read-only": true,
    discard: "unmap",
    cache,
  } as BlockNode;
  expect(throttleNode(below, "d-limits")).toEqual({
    driver: "throttle",
    "node-name": "d-node",
    "read-only": true,
    discard: "unmap",
    cache,
    "throttle-group": "d-limits",
    file: { driver: "raw", "read-only": true, discard: "unmap", cache },
  });
});
