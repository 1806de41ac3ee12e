import { expect, test } from "vitest";
import { checkId, sandboxPaths } from "./sandbox-paths.ts";

test("sandboxPaths() are upstream's", () => {
  expect(sandboxPaths("abc")).toMatchObject({
    run: "/run/kata/abc",
    share: "/run/kata-containers/shared/sandboxes/abc",
    exported: "/run/kata-containers/shared/sandboxes/abc/shared",
  });
});

test.each(["", "..", ".", "a/b", "../x", "-x", "a b", "a\0", "ä", "x".repeat(77)])(
  "checkId() refuses %j",
  (id) => {
    expect(() => checkId(id)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  },
);

test.each(["a", "0", "a.b-c_D", "x".repeat(76)])("checkId() takes %j", (id) => {
  expect(() => checkId(id)).not.toThrow();
});
