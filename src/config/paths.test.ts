import { describe, expect, test } from "vitest";
import { configurationPaths, dropInDirectory, isShippedLocation } from "./paths.ts";

const OPTION = "/opt/asked.toml";
const ENVIRONMENT = "/etc/kata-containers/other.toml";

describe("configurationPaths()", () => {
  test.each([
    [
      "nothing is asked for",
      {},
      ["/etc/kata-containers/configuration.toml", "/usr/share/defaults/kata-containers/configuration.toml"],
    ],
    [
      "nothing is asked of the Rust flavour",
      { flavour: "rs" },
      [
        "/etc/kata-containers/runtime-rs/configuration.toml",
        "/usr/share/defaults/kata-containers/runtime-rs/configuration.toml",
        "/opt/kata/share/defaults/kata-containers/runtime-rs/configuration.toml",
      ],
    ],
    ["there is an option", { option: OPTION }, [OPTION]],
    ["there is a variable", { environment: ENVIRONMENT }, [ENVIRONMENT]],
    ["Go has both", { option: OPTION, environment: ENVIRONMENT }, [OPTION]],
    ["Rust has both", { option: OPTION, environment: ENVIRONMENT, flavour: "rs" }, [ENVIRONMENT]],
    ["both are empty", { option: "", environment: "" }, configurationPaths({})],
  ] as const)("when %s", (_when, request, expected) => {
    expect(configurationPaths(request)).toEqual(expected);
  });
});

test.each([
  ["/etc/kata-containers/configuration.toml", true],
  ["/opt/kata/share/defaults/kata-containers/runtime-rs/configuration.toml", true],
  ["/usr/share/defaults/kata-containers/configuration-clh.toml", true],
  ["/etc/kata-containers/../../tmp/evil.toml", false],
  ["/etc/kata-containers-evil/configuration.toml", false],
  ["/tmp/configuration.toml", false],
  ["etc/kata-containers/configuration.toml", false],
])("isShippedLocation(%j) is %s", (path, expected) => {
  expect(isShippedLocation(path)).toBe(expected);
});

test("dropInDirectory() is beside the main file", () => {
  expect(dropInDirectory("/etc/kata-containers/configuration.toml")).toBe("/etc/kata-containers/config.d");
});
