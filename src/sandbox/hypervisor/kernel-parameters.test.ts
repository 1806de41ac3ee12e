import { describe, expect, test } from "vitest";
import { type KernelParametersRequest, kernelCommandLine } from "./kernel-parameters.ts";

const REQUEST: KernelParametersRequest = {
  accelerator: "kvm",
  machineType: "q35",
  root: { kind: "initrd", path: "/i" },
  console: "ttyS0",
  debug: false,
  memoryGrows: false,
  maxVcpus: 4,
  additional: "",
};

describe("kernelCommandLine()", () => {
  test("trusts the time stamp counter only of a real CPU", () => {
    expect(kernelCommandLine(REQUEST).split(" ")).toContain("tsc=reliable");
    expect(kernelCommandLine({ ...REQUEST, accelerator: "tcg" })).not.toContain("tsc=");
  });

  test("spares an emulated machine what takes it long, and leaves it the timer that lets it sleep", () => {
    const words = (changes: Partial<KernelParametersRequest>) =>
      kernelCommandLine({ ...REQUEST, accelerator: "tcg", maxVcpus: 1, ...changes }).split(" ");
    expect(words({})).toEqual(expect.arrayContaining(["init_on_alloc=1", "mitigations=off"]));
    expect(words({}).some((word) => /lapic|hpet/.test(word))).toBe(false);
    expect(
      words({ accelerator: "kvm" }).some((word) => /init_on_alloc|mitigations|blacklist/.test(word)),
    ).toBe(false);
  });

  test("tells an Arm machine nothing of a PC", () => {
    const words = kernelCommandLine({
      ...REQUEST,
      machineType: "virt",
      accelerator: "tcg",
      console: "ttyAMA0",
    });
    expect(words).not.toMatch(/i8042|no_timer_check|reboot=k|lastbus|tsc|hpet|lapic/);
    expect(words.split(" ")).toEqual(
      expect.arrayContaining(["console=ttyAMA0", "init_on_alloc=1", "net.ifnames=0"]),
    );
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
