import { describe, expect, test } from "vitest";
import { parseVerityInfo, verityTable } from "./verity-device.ts";

const HASH = "ab".repeat(32);
const INFO = {
  hashtype: "sha256",
  hash: HASH,
  blocknum: 768,
  blocksize: 4096,
  hashsize: 4096,
  offset: 768 * 4096,
};

describe("parseVerityInfo()", () => {
  test("reads upstream's description, whose table is dm-verity's", () => {
    const info = parseVerityInfo(JSON.stringify(INFO));
    expect(verityTable(info, "/dev/vda")).toBe(`1 /dev/vda /dev/vda 4096 4096 768 768 sha256 ${HASH} -`);
    const salted = parseVerityInfo(JSON.stringify({ ...INFO, salt: "00FF", offset: 768 * 4096 + 512 }));
    expect(verityTable(salted, "/dev/vdb")).toBe(`1 /dev/vdb /dev/vdb 4096 4096 768 769 sha256 ${HASH} 00ff`);
  });

  test.each([
    "",
    "[]",
    "null",
    ...[
      { hashtype: "md5" },
      { hash: "xyz" },
      { hash: `${HASH} 1 restart_on_corruption` },
      { salt: "0" },
      { blocknum: 0 },
      { blocknum: 1.5 },
      { blocksize: 1000 },
      { hashsize: 256 },
      { offset: 0 },
      { offset: undefined },
    ].map((change) => JSON.stringify({ ...INFO, ...change })),
  ])("refuses %s", (json) => {
    expect(() => parseVerityInfo(json)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  });
});
