import { expect, test } from "vitest";
import { parseArguments } from "./arguments.ts";

test.each([
  [
    "kata-snapshotter",
    ["/root", "/s.sock"],
    { format: "erofs", containerd: "/var/run/containerd/containerd.sock" },
  ],
  [
    "kata-snapshotter",
    ["--format", "tar", "/root", "/s.sock", "/c.sock"],
    { format: "tar", containerd: "/c.sock" },
  ],
  ["tardev-snapshotter", ["/root", "/s.sock"], { format: "tar" }],
  ["tardev-snapshotter", ["/root", "/s.sock", "--format=erofs"], { format: "erofs" }],
])("%s %j", (name, args, options) => {
  expect(parseArguments(name, args)).toMatchObject({
    do: "serve",
    options: { root: "/root", socket: "/s.sock", ...options },
  });
});

test.each([
  [[]],
  [["/root"]],
  [["a", "b", "c", "d"]],
  [["--format", "zip", "a", "b"]],
  [["--what", "a", "b"]],
])("%j is refused", (args) => {
  expect(() => parseArguments("kata-snapshotter", args)).toThrow(
    expect.objectContaining({ code: "invalid-argument" }),
  );
});

test("--help wins", () => {
  expect(parseArguments("kata-snapshotter", ["a", "--help"])).toEqual({ do: "help" });
});
