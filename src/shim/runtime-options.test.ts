import { expect, test } from "vitest";
import { encodeOptions } from "../../build/generated/runtime-options.ts";
import { configurationPathOf } from "./runtime-options.ts";

const value = encodeOptions({ typeUrl: "x", configPath: "/etc/kata.toml" });

test.each([
  ["runtimeoptions.v1.Options", "/etc/kata.toml"],
  ["cri.runtimeoptions.v1.Options", "/etc/kata.toml"],
  ["type.googleapis.com/runtimeoptions.v1.Options", "/etc/kata.toml"],
  ["containerd.runc.v1.Options", ""],
])("configurationPathOf() of %s is %j", (typeUrl, path) => {
  expect(configurationPathOf({ typeUrl, value })).toBe(path);
});

test("configurationPathOf() nothing is empty", () => {
  expect(configurationPathOf(undefined)).toBe("");
});

test("configurationPathOf() refuses what is no message", () => {
  expect(() =>
    configurationPathOf({ typeUrl: "runtimeoptions.v1.Options", value: Uint8Array.of(18, 200) }),
  ).toThrow(expect.objectContaining({ code: "malformed-message" }));
});
