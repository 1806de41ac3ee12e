import { expect, test } from "vitest";
import { parseMountInfo } from "./mountinfo.ts";

test("parseMountInfo() reads every field, with and without propagation", () => {
  const text =
    "36 35 98:0 /mnt1 /mnt\\0402\\134x rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue\n" +
    "22 1 0:21 / / rw - tmpfs none rw,size=4k\n";
  expect(parseMountInfo(text)).toEqual([
    {
      id: 36,
      parentId: 35,
      major: 98,
      minor: 0,
      root: "/mnt1",
      mountPoint: "/mnt 2\\x",
      options: ["rw", "noatime"],
      propagation: ["master:1", "propagate_from:2"],
      type: "ext3",
      source: "/dev/root",
      superOptions: ["rw", "errors=continue"],
    },
    {
      id: 22,
      parentId: 1,
      major: 0,
      minor: 21,
      root: "/",
      mountPoint: "/",
      options: ["rw"],
      propagation: [],
      type: "tmpfs",
      source: "none",
      superOptions: ["rw", "size=4k"],
    },
  ]);
});

test.each(["x", "36 35 98:0 / / rw", "36 35 98 / / rw - a b c", "a 35 98:0 / / rw - a b c"])(
  "parseMountInfo() refuses the line %j",
  (line) => {
    expect(() => parseMountInfo(line)).toThrow(expect.objectContaining({ code: "invalid-data" }));
  },
);
