import { describe, expect, test } from "vitest";
import { type KernelParametersRequest, kernelCommandLine } from "./kernel-parameters.ts";

const REQUEST: KernelParametersRequest = {
  accelerator: "kvm",
  root: { kind: "initrd", path: "/i" },
  console: "ttyS0",
  debug: false,
  maxVcpus: 4,
  additional: "",
};

describe("kernelCommandLine()", () => {
  test("trusts the time stamp counter only of a real CPU", () => {
    expect(kernelCommandLine(REQUEST).split(" ")).toContain("tsc=reliable");
    expect(kernelCommandLine({ ...REQUEST, accelerator: "tcg" })).not.toContain("tsc=");
  });

  test("puts what the configuration adds last, where it wins", () => {
    const line = kernelCommandLine({ ...REQUEST, additional: " agent.log=trace quiet " });
    expect(line.endsWith(" agent.log=trace quiet")).toBe(true);
  });

  test("lets kernel and agent talk if it is for debugging", () => {
    const words = kernelCommandLine({ ...REQUEST, debug: true }).split(" ");
    expect(words).toContain("agent.log=debug");
    expect(words).not.toContain("quiet");
  });

  test.each([
    ["a line break", "a\nb"],
    ["a NUL", "a\0b"],
    ["more than the kernel reads", "x".repeat(2048)],
  ])("refuses %s", (_what, additional) => {
    expect(() => kernelCommandLine({ ...REQUEST, additional })).toThrow(
      expect.objectContaining({ code: "invalid-configuration" }),
    );
  });
});
