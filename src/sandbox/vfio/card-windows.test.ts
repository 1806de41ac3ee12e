import { expect, test } from "vitest";
import { windowsOf } from "./card-windows.ts";

const none = "0x0000000000000000 0x0000000000000000 0x0000000000000000";

test.each([
  [
    // A graphics card: 16 MiB below 4 GiB, 16 GiB and 32 MiB anywhere, ports, and a ROM.
    [
      "0x00000000f6000000 0x00000000f6ffffff 0x0000000000040200",
      "0x0000384000000000 0x00003843ffffffff 0x000000000014220c",
      none,
      "0x0000384400000000 0x0000384401ffffff 0x000000000014220c",
      none,
      "0x000000000000e000 0x000000000000e07f 0x0000000000040101",
      "0x00000000f7000000 0x00000000f707ffff 0x0000000000046200",
    ],
    { memoryMib: 64, prefetchableMib: 65_536 },
  ],
  // A network card: 64 KiB of 64 bits that cannot be prefetched, and what is beyond the registers of the card itself.
  [
    [
      "0x0000000091920000 0x000000009192ffff 0x0000000000140204",
      ...Array.from({ length: 6 }, () => none),
      "0x0000000100000000 0x00000001ffffffff 0x000000000014220c",
    ],
    { memoryMib: 2, prefetchableMib: 0 },
  ],
  [["no resource", "0x2 0x1 0x200"], { memoryMib: 0, prefetchableMib: 0 }],
  [["0x0000000000000000 0xffffffffffffffff 0x000000000014220c"], { memoryMib: 0, prefetchableMib: 1 << 21 }],
])("windowsOf() %#", (lines, expected) => {
  expect(windowsOf(lines.join("\n"))).toEqual(expected);
});
