import { expect, test } from "vitest";
import { timestampOf } from "./timestamp.ts";

test.each([
  [0, { seconds: 0n, nanos: 0 }],
  [1, { seconds: 0n, nanos: 1_000_000 }],
  [1_700_000_000_999.5, { seconds: 1_700_000_000n, nanos: 999_500_000 }],
  [-0.5, { seconds: -1n, nanos: 999_500_000 }],
])("timestampOf(%d)", (ms, timestamp) => {
  expect(timestampOf(ms)).toEqual(timestamp);
});
