import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import { type CpioEntry, cpioArchive } from "./cpio.ts";

interface Read {
  readonly path: string;
  readonly mode: number;
  readonly data: Uint8Array;
  readonly fields: readonly number[];
}

/** A reader of the format's own, from its description: it shares nothing with the writer. */
function read(archive: Uint8Array): Read[] {
  const text = (from: number, to: number) => new TextDecoder().decode(archive.subarray(from, to));
  const entries: Read[] = [];
  for (let at = 0; ; ) {
    expect(text(at, at + 6)).toBe("070701");
    const fields = Array.from({ length: 13 }, (_, index) =>
      Number.parseInt(text(at + 6 + 8 * index, at + 14 + 8 * index), 16),
    );
    const [, mode = 0, , , , , size = 0, , , , , nameSize = 0] = fields;
    const path = text(at + 110, at + 110 + nameSize - 1);
    at += Math.ceil((110 + nameSize) / 4) * 4;
    if (path === "TRAILER!!!") {
      expect(at).toBe(archive.length);
      return entries;
    }
    entries.push({ path, mode, data: archive.slice(at, at + size), fields });
    at += Math.ceil(size / 4) * 4;
  }
}

describe("cpioArchive", () => {
  test("writes directories, files, links and devices as the kernel reads them", () => {
    const data = Uint8Array.of(1, 2, 3, 4, 5);
    const archive = cpioArchive([
      { type: "directory", path: "dev", mode: 0o755 },
      { type: "character-device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
      { type: "file", path: "init", mode: 0o755, data },
      { type: "symbolic-link", path: "sh", mode: 0o777, target: "busybox" },
    ]);
    const entries = read(archive);
    expect(entries.map(({ path, mode }) => [path, mode.toString(8)])).toEqual([
      ["dev", "40755"],
      ["dev/console", "20600"],
      ["init", "100755"],
      ["sh", "120777"],
    ]);
    expect(entries.map(({ data: content }) => content)).toEqual([
      new Uint8Array(),
      new Uint8Array(),
      data,
      new TextEncoder().encode("busybox"),
    ]);
    // inode, mode, uid, gid, links, mtime, size, device (2), device of the node (2), size of the name, check
    expect(entries[1]?.fields).toEqual([2, 0o20600, 0, 0, 1, 0, 0, 0, 0, 5, 1, 12, 0]);
  });

  test("keeps names and contents of any length and any bytes", () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-zA-Z0-9_ü-]{1,20}$/), { maxLength: 20 });
    fc.assert(
      fc.property(names, fc.uint8Array({ maxLength: 50 }), (paths, data) => {
        const entries: CpioEntry[] = paths.map((path) => ({ type: "file", path, mode: 0o644, data }));
        expect(read(cpioArchive(entries)).map((entry) => [entry.path, entry.data])).toEqual(
          paths.map((path) => [path, data]),
        );
      }),
    );
  });

  const file = (path: string): CpioEntry => ({ type: "file", path, mode: 0o644, data: new Uint8Array() });
  const refused: [what: string, entries: CpioEntry[], complaint: RegExp][] = [
    ["an absolute path", [file("/etc/passwd")], /no relative path/],
    ["a path that leaves the root", [file("../x")], /no relative path/],
    ["an empty path", [file("")], /no relative path/],
    ["a path with a NUL", [file("a\0b")], /no relative path/],
    ["a path longer than the kernel takes", [file("a".repeat(4096))], /no relative path/],
    ["the trailer's name", [file("TRAILER!!!")], /trailer/],
    ["a path that comes twice", [file("a"), file("a")], /twice/],
    ["a file before its directory", [file("a/b")], /before its directory/],
    ["a file within a file", [file("a"), file("a/b")], /before its directory/],
  ];
  for (const [what, entries, complaint] of refused) {
    test(`refuses ${what}`, () => {
      expect(() => cpioArchive(entries)).toThrow(complaint);
      expect(() => cpioArchive(entries)).toThrow(KataError);
    });
  }
});
