import { expect, test } from "vitest";
import { logRecord } from "./caller-log.ts";

test("a failure is told in the words that engines of runc read", () => {
  const at = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  expect(logRecord("json", "error", 'it said "no"', at)).toBe(
    '{"level":"error","msg":"it said \\"no\\"","time":"2026-01-02T03:04:05Z"}\n',
  );
  expect(logRecord("text", "warning", 'it said "no"', at)).toBe(
    'time="2026-01-02T03:04:05Z" level=warning msg="it said \\"no\\""\n',
  );
});
