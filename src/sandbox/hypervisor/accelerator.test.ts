import { expect, test, vi } from "vitest";
import { acceleratorFor, boardParameters, chooseAccelerator, warnOfEmulation } from "./accelerator.ts";

test("chooseAccelerator() takes a KVM that runs a vCPU", async () => {
  expect(await chooseAccelerator(async () => ({ works: true, reason: "" }))).toEqual({
    accelerator: "kvm",
    reason: undefined,
  });
});

test("acceleratorFor() emulates a board with another processor than the host's", async () => {
  // Under Node the kernel is taken for one of x86_64.
  expect(await acceleratorFor("virt")).toEqual({
    accelerator: "tcg",
    reason: "the guest's processor is aarch64, the host's x86_64",
  });
});

test("warnOfEmulation() warns once of TCG, with the reason, and of nothing else", () => {
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  warnOfEmulation({ accelerator: "kvm", reason: undefined }, logger);
  warnOfEmulation({ accelerator: "mshv", reason: undefined }, logger);
  expect(logger.warn).not.toHaveBeenCalled();
  warnOfEmulation({ accelerator: "tcg", reason: "/dev/kvm is missing" }, logger);
  expect(logger.warn.mock.calls).toEqual([
    [expect.stringMatching(/development only.*no security boundary/), { reason: "/dev/kvm is missing" }],
  ]);
});

test("boardParameters() tells the kernel of an emulated microvm what it cannot measure, or refuses", () => {
  const emulated = { accelerator: "tcg", reason: "/dev/kvm is missing" } as const;
  expect(boardParameters(emulated, "microvm", () => 2_100_000)).toEqual([
    "reboot=t",
    "tsc_early_khz=2100000",
    "tsc=reliable",
  ]);
  expect(() => boardParameters(emulated, "microvm", () => undefined)).toThrow(
    expect.objectContaining({ code: "unsupported", hint: expect.stringContaining("q35") }),
  );
  expect(boardParameters(emulated, "q35", () => undefined)).toEqual([]);
  expect(boardParameters({ accelerator: "kvm", reason: undefined }, "microvm")).toEqual(["reboot=t"]);
});
