import { expect, test } from "vitest";
import { parseSandboxBindMounts } from "./sandbox-bind-mounts.ts";

test("parseSandboxBindMounts() reads paths with and without a mode; read-only is the default", () => {
  expect(parseSandboxBindMounts(["/etc/ca", "/var/cache:rw", "/opt/a:b:ro", "/dir/"])).toEqual([
    { path: "/etc/ca", name: "ca", readOnly: true },
    { path: "/var/cache", name: "cache", readOnly: false },
    { path: "/opt/a:b", name: "a:b", readOnly: true },
    { path: "/dir/", name: "dir", readOnly: true },
  ]);
});

test.each([[["relative"]], [["/"]], [["/a/.."]], [["/a/x", "/b/x:rw"]]])(
  "parseSandboxBindMounts() refuses %j",
  (entries) => {
    expect(() => parseSandboxBindMounts(entries)).toThrow(
      expect.objectContaining({ code: "invalid-configuration" }),
    );
  },
);
