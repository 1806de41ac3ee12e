import { describe, expect, it } from "vitest";
import { judge } from "./judge.ts";

describe("judge", () => {
  it("counts what passes, and asks for nothing that the reference fails", () => {
    const reference = { flock: "", xattr: "ENOTSUP" };
    expect(judge("shared", reference, { flock: "", xattr: "ENOTSUP" }, {})).toEqual({
      passed: 1,
      faults: [],
    });
  });

  it("tells of a check that fails, that was not tried, and that passes against the list", () => {
    const reference = { flock: "", xattr: "", rename: "" };
    expect(judge("disk", reference, { flock: "EWOULDBLOCK", rename: "" }, { rename: "by design" })).toEqual({
      passed: 1,
      faults: [
        "disk: flock: EWOULDBLOCK",
        "disk: xattr was not tried",
        "disk: rename passes, and is listed as refused: by design",
      ],
    });
  });

  it("lets a listed failure pass", () => {
    expect(judge("root", { mknod: "" }, { mknod: "EPERM" }, { mknod: "why" })).toEqual({
      passed: 0,
      faults: [],
    });
  });
});
