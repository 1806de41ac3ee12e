/** What a confidential machine was started with, as its report says. */
import { expect, test } from "vitest";
import { hostDataOf, standsFor } from "./host-data.ts";

test.each([
  ["sev_guest", 0xc0, 32],
  ["tdx_guest", 232, 48],
])("the field of %s is at %i", (provider, offset, bytes) => {
  const report = Uint8Array.from({ length: 1184 }, (_, at) => at & 0xff);
  expect(hostDataOf(provider, report)).toEqual(report.slice(offset, offset + bytes));
  expect(() => hostDataOf(provider, report.subarray(0, offset + bytes - 1))).toThrow(
    expect.objectContaining({ code: "invalid-report" }),
  );
});

test("a platform that is not known has no field", () => {
  expect(hostDataOf("cca_guest", new Uint8Array(4096))).toBeUndefined();
});

test("a field stands for a digest that was cut or filled up, and zeros for none", () => {
  const digest = Uint8Array.from({ length: 48 }, (_, at) => at + 1);
  expect(standsFor(digest.slice(0, 32), digest)).toBe(true);
  expect(standsFor(Uint8Array.from([...digest, 0, 0]), digest)).toBe(true);
  expect(standsFor(digest.slice(1, 33), digest)).toBe(false);
  expect(standsFor(new Uint8Array(32), undefined)).toBe(true);
  expect(standsFor(new Uint8Array(32), digest)).toBe(false);
  expect(standsFor(digest.slice(0, 32), undefined)).toBe(false);
});
