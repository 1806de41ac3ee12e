import { describe, expect, test } from "vitest";
import { parseCgroupsPath } from "../../oci/cgroups-path.ts";
import { DbusReader, DbusWriter, splitSignature } from "../../sys/dbus/marshal.ts";
import {
  dbusMessageLength,
  decodeDbusMessage,
  encodeDbusMessage,
  METHOD_CALL,
} from "../../sys/dbus/message.ts";
import { isIn, scopeOf, scopeRequest } from "./systemd-scope.ts";

const PLACE = parseCgroupsPath("kubepods-pod1.slice:cri-containerd:c1");

test("scopeOf() is the unit that the path names", () => {
  expect(scopeOf(PLACE, 7)).toEqual({
    slice: "kubepods-pod1.slice",
    unit: "cri-containerd-c1.scope",
    pid: 7,
  });
  expect(scopeOf(parseCgroupsPath(":p:n"), 7)?.slice).toBe("system.slice");
  expect(scopeOf(parseCgroupsPath("a.slice:p:n.slice"), 7)).toBeUndefined();
  expect(scopeOf(parseCgroupsPath("/kubepods/c1"), 7)).toBeUndefined();
});

test.each([
  ["0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-c1.scope\n", true],
  ["9:name=systemd:/x/cri-containerd-c1.scope\n0::/\n", true],
  ["4:memory:/x/cri-containerd-c1.scope\n0::/init.scope\n", false],
])("isIn() reads %j", (text, expected) => {
  expect(isIn(text, "cri-containerd-c1.scope")).toBe(expected);
});

describe("D-Bus messages", () => {
  const scope = scopeOf(PLACE, 4711);

  test("carry the whole request there and back", () => {
    const message = {
      type: METHOD_CALL,
      serial: 9,
      path: "/org/freedesktop/systemd1",
      interface: "org.freedesktop.systemd1.Manager",
      member: "StartTransientUnit",
      destination: "org.freedesktop.systemd1",
      signature: "ssa(sv)a(sa(sv))",
      body: scope === undefined ? [] : scopeRequest(scope),
    };
    const bytes = encodeDbusMessage(message);
    expect(dbusMessageLength(bytes)).toBe(bytes.length);
    expect(decodeDbusMessage(bytes)).toEqual(message);
    // Cut off anywhere, it is an error and nothing else.
    for (let length = 16; length < bytes.length; length++) {
      expect(() => decodeDbusMessage(bytes.subarray(0, length))).toThrow("read D-Bus message");
    }
  });

  test("have values of every type where the specification puts them", () => {
    const writer = new DbusWriter();
    writer.write("(ybxtv)", [7, true, -2n, (1n << 63n) + 1n, { signature: "a{su}", value: [["k", 5]] }]);
    const bytes = writer.bytes();
    expect([...bytes.subarray(0, 16)]).toEqual([
      7, 0, 0, 0, 1, 0, 0, 0, 254, 255, 255, 255, 255, 255, 255, 255,
    ]);
    expect(new DbusReader(bytes).read("(ybxtv)")).toEqual([
      7,
      true,
      -2n,
      (1n << 63n) + 1n,
      { signature: "a{su}", value: [["k", 5]] },
    ]);
  });

  test.each([
    ["another byte order", [0x42, 1, 0, 1, ...new Array(12).fill(0)], /byte order/],
    ["a length beyond the bound", [0x6c, 1, 0, 1, 0, 0, 0, 127, 1, 0, 0, 0, 0, 0, 0, 0], /bytes/],
  ])("of %s are refused", (_what, bytes, about) => {
    expect(() => dbusMessageLength(Uint8Array.from(bytes))).toThrow(about);
  });

  test("nested beyond the bound are refused", () => {
    expect(() => splitSignature(`${"a".repeat(40)}y`)).toThrow("read D-Bus message");
    // A variant in a variant in a variant …
    const endless = Uint8Array.from(Array.from({ length: 90 }, () => [1, 0x76, 0]).flat());
    expect(() => new DbusReader(endless).read("v")).toThrow("nested too deeply");
  });
});
