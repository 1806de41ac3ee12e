import { expect, test, vi } from "vitest";
import { checkBoard, chooseAccelerator, warnOfEmulation } from "./accelerator.ts";

test("chooseAccelerator() takes a KVM that runs a vCPU", async () => {
  expect(await chooseAccelerator(async () => ({ works: true, reason: "" }))).toEqual({
    accelerator: "kvm",
    reason: undefined,
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

test("checkBoard() refuses to emulate a microvm, and nothing else", () => {
  const emulated = { accelerator: "tcg", reason: "/dev/kvm is missing" } as const;
  expect(() => checkBoard(emulated, "microvm")).toThrow(
    expect.objectContaining({ code: "unsupported", hint: expect.stringContaining("q35") }),
  );
  checkBoard(emulated, "q35");
  checkBoard({ accelerator: "kvm", reason: undefined }, "microvm");
});
