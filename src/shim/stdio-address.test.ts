import { expect, test } from "vitest";
import { descriptorAddress, parseStdioAddress } from "./stdio-address.ts";

test.each([
  ["", { kind: "none" }],
  ["/run/x/stdout", { kind: "fifo", path: "/run/x/stdout" }],
  ["/run/a?b", { kind: "fifo", path: "/run/a?b" }],
  ["fifo:///run/x", { kind: "fifo", path: "/run/x" }],
  ["file:///var/log/c.log", { kind: "file", path: "/var/log/c.log" }],
  ["binary:///bin/logger", { kind: "program", path: "/bin/logger", args: [], tellsReady: false }],
  [
    "binary:///bin/my%20logger?--dir=%2Fvar%2Flog&quiet&a=b+c&d==",
    {
      kind: "program",
      path: "/bin/my logger",
      args: ["--dir", "/var/log", "quiet", "", "a", "b c", "d", "="],
      tellsReady: false,
    },
  ],
  [descriptorAddress(4000000, 12), { kind: "descriptor", pid: 4000000, fd: 12 }],
  ["ttrpc+unix:///run/x?a=b&streaming_id=c-stdout", { kind: "stream", name: "c-stdout" }],
  ["binary-v2:///bin/l?x=1", { kind: "program", path: "/bin/l", args: ["x", "1"], tellsReady: true }],
] as const)("parseStdioAddress(%j)", (text, address) => {
  expect(parseStdioAddress(text)).toEqual(address);
});

test.each([
  ["process-descriptor:///0/1", "invalid-argument"],
  ["process-descriptor:///1/../2", "invalid-argument"],
  ["process-descriptor:///1", "invalid-argument"],
  ["ttrpc+unix:///run/x", "invalid-argument"],
  ["ttrpc+unix:///run/x?streaming_id=", "invalid-argument"],
  ["grpc+unix:///run/x?streaming_id=a", "unimplemented"],
  ["relative/path", "invalid-argument"],
  ["file://relative", "invalid-argument"],
  ["binary://logger", "invalid-argument"],
  ["binary:///bin/l?a=%zz", "invalid-argument"],
  [`binary:///bin/l?${"a&".repeat(257)}`, "invalid-argument"],
])("parseStdioAddress(%j) is refused as %s", (text, code) => {
  expect(() => parseStdioAddress(text)).toThrow(expect.objectContaining({ code }));
});
