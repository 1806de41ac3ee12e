import { expect, test } from "vitest";
import { kernel, useKernel } from "./kernel.ts";
import { formatRecord, Logger } from "./log.ts";
import { RecordingKernel } from "./testing/recording-kernel.ts";

test("formatRecord() quotes what is not a plain word and keeps a record on one line", () => {
  expect(formatRecord(0, "warning", "two\nlines", { path: "/a/b", why: 'says "no"', n: 3 })).toBe(
    'time="1970-01-01T00:00:00.000Z" level=warning msg="two\\nlines" path=/a/b why="says \\"no\\"" n=3\n',
  );
});

test("formatRecord() cuts a value of any length", () => {
  expect(formatRecord(0, "info", "x".repeat(1_000_000), {}).length).toBeLessThan(4300);
});

test("a Logger leaves out records below its level", () => {
  const recording = new RecordingKernel();
  using _kernel = useKernel(recording);
  const logger = new Logger(2, "warning", { source: "shim" });
  logger.info("not this");
  logger.error("this");
  expect(recording.names()).toEqual(["write"]);
  const bytes = recording.calls[0]?.args[1];
  expect(new TextDecoder().decode(bytes as Uint8Array)).toMatch(/level=error msg=this source=shim\n$/);
  expect(kernel()).toBe(recording);
});
