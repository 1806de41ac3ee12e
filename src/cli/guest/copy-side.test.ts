import { describe, expect, test } from "vitest";
import { nameOf, parentOf, parseCopySide } from "./copy-side.ts";

describe("a side of cp", () => {
  test.each([
    ["file", { kind: "host", path: "file" }],
    ["/a:b", { kind: "host", path: "/a:b" }],
    ["./a:/b", { kind: "host", path: "./a:/b" }],
    ["3f2a:/etc/passwd", { kind: "guest", sandbox: "3f2a", path: "/etc/passwd" }],
    ["id:/a:b", { kind: "guest", sandbox: "id", path: "/a:b" }],
  ])("%s is %j", (word, side) => {
    expect(parseCopySide(word)).toEqual(side);
  });

  test.each(["", ":/a", "id:", "id:relative"])("is refused as %j", (word) => {
    expect(() => parseCopySide(word)).toThrow("copy: ");
  });

  test("has a name and a directory", () => {
    expect(["/a/b/", "b", "/b", "../b"].map((path) => [nameOf(path), parentOf(path)])).toEqual([
      ["b", "/a"],
      ["b", "."],
      ["b", "/"],
      ["b", ".."],
    ]);
    for (const path of ["/", ".", "..", "a/.."]) expect(() => nameOf(path)).toThrow("write it out");
  });
});
