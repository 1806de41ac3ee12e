import { describe, expect, test } from "vitest";
import { completeEnvironment, homeOf } from "./environment.ts";

describe("completeEnvironment()", () => {
  test("adds HOME when it is missing", () => {
    expect(completeEnvironment(["A=1"], () => "/home/x")).toEqual(["A=1", "HOME=/home/x"]);
  });

  test("asks for no home directory when HOME is set", () => {
    expect(completeEnvironment(["HOME=/h"], () => expect.unreachable())).toEqual(["HOME=/h"]);
  });

  test("keeps the last value when a name occurs twice, and drops what is no variable", () => {
    expect(completeEnvironment(["A=1", "B=2", "A=3=4", "=x", "novalue", "N=\0"], () => "/")).toEqual([
      "A=3=4",
      "B=2",
      "HOME=/",
    ]);
  });
});

describe("homeOf()", () => {
  const passwd =
    "root:x:0:0:root:/root:/bin/sh\nbroken:x\nempty:x:7:7:::/bin/sh\nu:x:1000:100:,,,:/home/u:/bin/sh\n";
  test.each([
    [0, "/root"],
    [1000, "/home/u"],
    [7, "/"],
    [42, "/"],
  ])("finds the home of uid %i", (uid, home) => {
    expect(homeOf(passwd, uid)).toBe(home);
  });
});
