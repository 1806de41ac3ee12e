import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as options from "./mount-options.ts";

const { parseMountOptions } = options;
const parse = (text: string) => parseMountOptions(text.split(","));

test("the numbers are those of the kernel's header", () => {
  const header = readFileSync("/usr/include/linux/mount.h", "utf8");
  const values = [
    ...header.matchAll(/^#define (MS_[A-Z_]+|MOUNT_ATTR_[A-Z_]+)\s+(?:\(1<<(\d+)\)|(0x[0-9a-fA-F]+|\d+))/gm),
  ];
  const byName = new Map(
    values.map(([, name, shift, value]) => [name, shift ? 2 ** Number(shift) : Number(value)]),
  );
  const ours = Object.entries(options).filter(([name]) => /^(MS|MOUNT_ATTR)_/.test(name));
  expect(ours.length).toBeGreaterThan(30);
  for (const [name, value] of ours) expect([name, value]).toEqual([name, byName.get(name)]);
});

describe("parseMountOptions()", () => {
  test("tells flags from the file system's own options", () => {
    expect(parse("nosuid,strictatime,mode=755,size=65536k,defaults")).toEqual({
      bind: false,
      recursiveBind: false,
      flags: { set: options.MS_NOSUID | options.MS_STRICTATIME, clear: 0 },
      attributes: {
        set: options.MOUNT_ATTR_NOSUID | options.MOUNT_ATTR_STRICTATIME,
        clear: options.MOUNT_ATTR__ATIME,
      },
      recursiveAttributes: undefined,
      superblock: [],
      propagation: [],
      idMap: "none",
      copyUp: false,
      data: ["mode=755", "size=65536k"],
    });
  });

  test("reads a bind mount with propagation", () => {
    const { bind, recursiveBind, propagation, attributes } = parse("rbind,rprivate,shared,ro");
    expect({ bind, recursiveBind, propagation, attributes }).toEqual({
      bind: true,
      recursiveBind: true,
      propagation: [
        { type: options.MS_PRIVATE, recursive: true },
        { type: options.MS_SHARED, recursive: false },
      ],
      attributes: { set: options.MOUNT_ATTR_RDONLY, clear: 0 },
    });
  });

  test("lets the last of two options decide", () => {
    expect(parse("ro,rw").flags).toEqual({ set: 0, clear: options.MS_RDONLY });
    expect(parse("ro,rw").attributes).toEqual({ set: 0, clear: options.MOUNT_ATTR_RDONLY });
    expect(parse("suid,nosuid").attributes).toEqual({ set: options.MOUNT_ATTR_NOSUID, clear: 0 });
    expect(parse("sync,async").superblock).toEqual([]);
    expect(parse("lazytime,sync,dirsync").superblock).toEqual(["lazytime", "sync", "dirsync"]);
  });

  test.each([
    ["noatime", options.MOUNT_ATTR_NOATIME],
    ["relatime", options.MOUNT_ATTR_RELATIME],
    ["strictatime", options.MOUNT_ATTR_STRICTATIME],
    ["noatime,strictatime", options.MOUNT_ATTR_STRICTATIME],
    ["noatime,atime", options.MOUNT_ATTR_RELATIME],
    ["strictatime,atime", options.MOUNT_ATTR_RELATIME],
    ["strictatime,nostrictatime", options.MOUNT_ATTR_RELATIME],
  ])("has one access time mode for %s", (text, set) => {
    expect(parse(text).attributes).toEqual({ set, clear: options.MOUNT_ATTR__ATIME });
  });

  test("has an attribute for the whole tree for each option with a leading r", () => {
    expect(parse("rbind,rro,rnosuid,rexec,rnoatime")).toMatchObject({
      attributes: { set: 0, clear: 0 },
      recursiveAttributes: {
        set: options.MOUNT_ATTR_RDONLY | options.MOUNT_ATTR_NOSUID | options.MOUNT_ATTR_NOATIME,
        clear: options.MOUNT_ATTR_NOEXEC | options.MOUNT_ATTR__ATIME,
      },
      data: [],
    });
  });

  test.each([
    ["idmap", { idMap: "mount", copyUp: false }],
    ["ridmap,idmap", { idMap: "recursive", copyUp: false }],
    ["tmpcopyup", { idMap: "none", copyUp: true }],
  ])("does not pass %s on", (text, expected) => {
    expect(parse(text)).toMatchObject({ ...expected, data: [] });
  });

  test("knows every option that it lists", () => {
    for (const option of options.KNOWN_MOUNT_OPTIONS)
      expect([option, parseMountOptions([option]).data]).toEqual([option, []]);
    expect(options.KNOWN_MOUNT_OPTIONS.length).toBeGreaterThan(60);
  });

  test("refuses what the kernel could not be told", () => {
    expect(() => parseMountOptions(["a\0b"])).toThrow(/NUL/);
    expect(() => parseMountOptions(Array(options.MAX_OPTIONS + 1).fill("ro"))).toThrow(/at most 4096/);
  });
});
