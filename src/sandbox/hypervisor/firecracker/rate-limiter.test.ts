import { expect, test } from "vitest";
import { bandwidthLimiter, diskLimiter } from "./rate-limiter.ts";

const NONE = { bandwidth: 0, bandwidthBurst: 0, operations: 0, operationsBurst: 0 };

test.each([
  [{}, undefined],
  [{ bandwidthBurst: 80, operationsBurst: 5 }, undefined],
  [{ bandwidth: 80 }, { bandwidth: { size: 10, refill_time: 1000 } }],
  [{ bandwidth: 3 }, { bandwidth: { size: 1, refill_time: 1000 } }],
  [{ operations: 7, operationsBurst: 3 }, { ops: { size: 7, one_time_burst: 3, refill_time: 1000 } }],
])("diskLimiter() of %j is %j: bits become bytes, and a burst alone limits nothing", (rates, limiter) => {
  expect(diskLimiter({ ...NONE, ...rates })).toEqual(limiter);
});

test("diskLimiter() and bandwidthLimiter() limit nothing without rates", () => {
  expect(diskLimiter(undefined)).toBeUndefined();
  expect(bandwidthLimiter(0)).toBeUndefined();
});
