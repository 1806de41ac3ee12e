import { expect, test } from "vitest";
import { parseStdioAddress } from "./stdio-address.ts";

test.each([
  ["", { kind: "none" }],
  ["/run/x/stdout", { kind: "fifo", path: "/run/x/stdout" }],
  ["fifo:///run/x", { kind: "fifo", path: "/run/x" }],
  ["file:///var/log/c.log", { kind: "file", path: "/var/log/c.log" }],
] as const)("parseStdioAddress(%j)", (text, address) => {
  expect(parseStdioAddress(text)).toEqual(address);
});

test.each([
  ["binary:///usr/bin/logger?a=b", "unimplemented"],
  ["relative/path", "invalid-argument"],
  ["file://relative", "invalid-argument"],
])("parseStdioAddress(%j) is refused as %s", (text, code) => {
  expect(() => parseStdioAddress(text)).toThrow(expect.objectContaining({ code }));
});
