import { describe, expect, test } from "vitest";
import { DEFAULT_OPTIONS, type ImageOptions, parseArguments } from "./arguments.ts";

describe("the image builder's command line", () => {
  const accepted: [args: string[], changes: Partial<ImageOptions>][] = [
    [[], {}],
    [["--agent", "/a"], { agent: "/a" }],
    [["--agent=/a", "--output=/o"], { agent: "/a", output: "/o" }],
    [["--debug-shell", "--json", "--force"], { debugShell: true, json: true, force: true }],
  ];
  for (const [args, changes] of accepted) {
    test(`takes ${JSON.stringify(args)}`, () => {
      expect(parseArguments(args)).toEqual({ do: "build", options: { ...DEFAULT_OPTIONS, ...changes } });
    });
  }

  test("prints help whatever else is there", () => {
    expect(parseArguments(["--json", "-h", "--nonsense"])).toEqual({ do: "help" });
  });

  const refused: [args: string[], complaint: RegExp][] = [
    [["--ouput", "x"], /--ouput.*did you mean --output\?/],
    [["--agent"], /--agent needs a value/],
    [["--agent="], /--agent needs a value/],
    [["--json=yes"], /--json=yes/],
    [["build"], /build/],
  ];
  for (const [args, complaint] of refused) {
    test(`refuses ${JSON.stringify(args)}`, () => {
      expect(() => parseArguments(args)).toThrow(complaint);
    });
  }
});
