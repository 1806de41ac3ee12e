import { expect, test } from "vitest";
import { parseInterfaceCounters } from "./interface-counters.ts";

test("parseInterfaceCounters() reads all interfaces but lo, and passes over what is no line of counters", () => {
  const text =
    "Inter-|   Receive  | Transmit\n face |bytes packets|bytes packets\n" +
    "    lo:   10  1 0 0 0 0 0 0  10 1 0 0 0 0 0 0\n" +
    "  eth0: 9007199254740993 2 3 4 0 0 0 0  5 6 7 8 0 0 0 0\n" +
    "eth0:1: 1 1 1 1 0 0 0 0  1 1 1 1 0 0 0 0\nbroken: 1 2 3\n";
  expect(parseInterfaceCounters(text)).toEqual([
    {
      name: "eth0",
      received: { bytes: 9007199254740993n, packets: 2n, errors: 3n, dropped: 4n },
      transmitted: { bytes: 5n, packets: 6n, errors: 7n, dropped: 8n },
    },
    {
      name: "eth0:1",
      received: { bytes: 1n, packets: 1n, errors: 1n, dropped: 1n },
      transmitted: { bytes: 1n, packets: 1n, errors: 1n, dropped: 1n },
    },
  ]);
});
