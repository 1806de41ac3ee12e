import { describe, expect, test } from "vitest";
import { DEFAULT_OPTIONS, type ImageOptions, OWN_ARCHITECTURE, parseArguments } from "./arguments.ts";

const OTHER = OWN_ARCHITECTURE === "x86_64" ? "aarch64" : "x86_64";
const OF_OTHER: Partial<ImageOptions> = {
  architecture: OTHER,
  agent: `build/${OTHER}/bin/kata-agent`,
  output: `build/image-${OTHER}`,
};

describe("the image builder's command line", () => {
  const accepted: [args: string[], changes: Partial<ImageOptions>][] = [
    [[], {}],
    [["--agent", "/a"], { agent: "/a" }],
    [["--agent=/a", "--output=/o"], { agent: "/a", output: "/o" }],
    [["--arch", OWN_ARCHITECTURE], {}],
    [["--agent=/a", `--arch=${OTHER}`], { ...OF_OTHER, agent: "/a" }],
    [["--arch", OTHER], OF_OTHER],
    [["--authorities", "/ca.pem"], { authorities: "/ca.pem" }],
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
    [["--arch", "arm"], /--arch arm.*it is x86_64 or aarch64/],
    [["--arch"], /--arch/],
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
