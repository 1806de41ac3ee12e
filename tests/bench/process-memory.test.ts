import { expect, test } from "vitest";
import { isGuestMemory, mappingsOf, memoryFilesOf, parseMappings } from "./process-memory.ts";

const SMAPS = `55d0-55d1 r-xp 00001000 fe:00 10166295                   /usr/bin/program
Size:               1316 kB
Rss:                  12 kB
Pss:                   3 kB
VmFlags: rd ex mr mw me
7f00-7f01 rwxp 00000000 00:00 0 
Rss:                  40 kB
Pss:                  40 kB
7f02-7f03 rw-s 00000000 00:01 29712                      /memfd:kata-memory (deleted)
Rss:                 100 kB
Pss:                  50 kB
`;

test("parseMappings() tells what each mapping is of and how much of it is there", () => {
  const mappings = parseMappings(SMAPS);
  expect(mappings).toEqual([
    { name: "/usr/bin/program", permissions: "r-xp", resident: 12 << 10, proportional: 3 << 10 },
    { name: "", permissions: "rwxp", resident: 40 << 10, proportional: 40 << 10 },
    {
      name: "/memfd:kata-memory (deleted)",
      permissions: "rw-s",
      resident: 100 << 10,
      proportional: 50 << 10,
    },
  ]);
  expect(mappings.map(isGuestMemory)).toEqual([false, false, true]);
});

test("this process's own mappings have its program and as much memory as the kernel says", () => {
  const mappings = mappingsOf(process.pid);
  expect(mappings.some(({ name }) => name === process.execPath)).toBe(true);
  expect(mappings.reduce((sum, { resident }) => sum + resident, 0)).toBeGreaterThan(10 << 20);
  expect(memoryFilesOf(process.pid)).toBe(0);
});
