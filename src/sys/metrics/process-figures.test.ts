import { expect, test } from "vitest";
import { parseIo, parseNetworkDevices, parseStat, parseStatus, threadsOf } from "./process-figures.ts";

const STATUS =
  "Name:\tqemu\nUmask:\t0022\nVmRSS:\t    2048 kB\nRssAnon:\t 1 kB\nThreads:\t7\nvoluntary_ctxt_switches:\t9\n";

test("parseStatus() takes memory, in bytes, and context switches, by upstream's names", () => {
  expect(parseStatus(STATUS)).toEqual([
    [{ item: "vmrss" }, 2097152],
    [{ item: "rssanon" }, 1024],
    [{ item: "voluntary_ctxt_switches" }, 9],
  ]);
  expect(threadsOf(STATUS)).toBe(7);
});

test("parseStat() finds the times behind a program's name that holds spaces and parentheses", () => {
  const fields = Array.from({ length: 30 }, (_, index) => String(index + 3));
  expect(parseStat(`12 (a) b (c) ${fields.join(" ")}\n`)).toEqual([
    [{ item: "utime" }, 14],
    [{ item: "stime" }, 15],
    [{ item: "cutime" }, 16],
    [{ item: "cstime" }, 17],
  ]);
  expect(parseStat("")).toEqual([]);
});

test("parseIo() leaves the underscores out, as upstream does", () => {
  expect(parseIo("rchar: 1\nread_bytes: 2\ncancelled_write_bytes: 0\n")).toEqual([
    [{ item: "rchar" }, 1],
    [{ item: "readbytes" }, 2],
    [{ item: "cancelledwritebytes" }, 0],
  ]);
});

test("parseNetworkDevices() reads received and sent counters by interface", () => {
  const text = "Inter-|\n face |\n    lo: 10 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0\n";
  const samples = parseNetworkDevices(text);
  expect(samples).toHaveLength(16);
  expect(samples[0]).toEqual([{ interface: "lo", item: "recv_bytes" }, 10]);
  expect(samples[8]).toEqual([{ interface: "lo", item: "sent_bytes" }, 20]);
});
