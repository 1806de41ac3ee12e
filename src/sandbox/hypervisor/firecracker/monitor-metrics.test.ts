import { expect, test } from "vitest";
import { utf8Encode } from "../../../sys/utf8.ts";
import { countersOf, readMetrics } from "./monitor-metrics.ts";

const REPORT = '{"utc_timestamp_ms":7,"vcpu":{"exit_io_in":3,"failures":0},"block":{"a":{"b":2}},"note":"x"}';

test("countersOf() tells the counters that have counted, by their groups", () => {
  expect(countersOf(REPORT)).toEqual({ utc_timestamp_ms: 7, "vcpu.exit_io_in": 3, "block.a.b": 2 });
});

test.each(["", "{", "1", "null", '"text"'])("countersOf() takes %j for no report", (line) => {
  expect(countersOf(line)).toBeUndefined();
});

test("readMetrics() puts lines together, whatever the pieces, and passes over what is none", async () => {
  const bytes = utf8Encode(`damaged\n${REPORT}\n{"x":1}\n{"never`);
  let at = 0;
  const stream = {
    async read(into: Uint8Array): Promise<number> {
      const piece = bytes.subarray(at, at + 5);
      into.set(piece);
      at += piece.length;
      return piece.length;
    },
  };
  const reports: unknown[] = [];
  await readMetrics(stream, (counters) => reports.push(counters));
  expect(reports).toEqual([{ utc_timestamp_ms: 7, "vcpu.exit_io_in": 3, "block.a.b": 2 }, { x: 1 }]);
});

test("readMetrics() holds no line that does not end", async () => {
  let left = 100;
  const stream = {
    async read(into: Uint8Array): Promise<number> {
      into.fill(0x20);
      return left-- > 0 ? into.length : 0;
    },
  };
  await expect(readMetrics(stream, () => undefined)).resolves.toBeUndefined();
});
