import { expect, test } from "vitest";
import { parseColonLines, parseCpuTimes, parseNetworkDevices } from "./metrics.ts";

test("parseColonLines() turns kB into bytes and keeps plain numbers", () => {
  expect(parseColonLines("MemTotal:       2048 kB\nThreads:\t3\nName:\tagent\n")).toEqual([
    [{ item: "memtotal" }, 2097152],
    [{ item: "threads" }, 3],
  ]);
});

test("parseCpuTimes() names every CPU and the total", () => {
  expect(parseCpuTimes("cpu  1 2\ncpu0 1 2\nintr 5\n")).toEqual([
    [{ cpu: "total", item: "user" }, 1],
    [{ cpu: "total", item: "nice" }, 2],
    [{ cpu: "0", item: "user" }, 1],
    [{ cpu: "0", item: "nice" }, 2],
  ]);
});

test("parseNetworkDevices() reads received and sent counters by interface", () => {
  const text = "Inter-|\n face |\n    lo: 10 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0\n";
  const samples = parseNetworkDevices(text);
  expect(samples).toHaveLength(16);
  expect(samples[0]).toEqual([{ interface: "lo", item: "recv_bytes" }, 10]);
  expect(samples[8]).toEqual([{ interface: "lo", item: "sent_bytes" }, 20]);
});
