import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodeTarHeader, type TarHeader, TarReader, tarEnd, tarPadding } from "./tar-format.ts";

interface Entry extends TarHeader {
  readonly data: string;
}

function readAll(
  archive: Uint8Array,
  piece = archive.length,
): { readonly entries: Entry[]; readonly complete: boolean } {
  const entries: Entry[] = [];
  let [header, data]: [TarHeader | undefined, Buffer] = [undefined, Buffer.alloc(0)];
  const reader = new TarReader({
    entry(next) {
      [header, data] = [next, Buffer.alloc(0)];
    },
    content(bytes) {
      data = Buffer.concat([data, bytes]);
    },
    end() {
      if (header !== undefined) entries.push({ ...header, data: data.toString("utf8") });
    },
  });
  for (let at = 0; at < archive.length; at += piece) reader.push(archive.subarray(at, at + piece));
  return { entries, complete: reader.isComplete };
}

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-tar-test-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const LONG = `${"long-".repeat(30)}name`;

describe("tar archives", () => {
  test.each(["gnu", "pax", "ustar"])("of GNU tar's format %s are read, in pieces of any size", (format) => {
    const name = format === "ustar" ? "short" : LONG;
    mkdirSync(join(directory, "d"));
    writeFileSync(join(directory, "d", name), "x".repeat(700), { mode: 0o640 });
    writeFileSync(join(directory, "d/empty"), "");
    symlinkSync("../target", join(directory, "d/link"));
    const { stdout } = spawnSync(
      "tar",
      [`--format=${format}`, "--sort=name", "-cf", "-", "-C", directory, "d"],
      {
        maxBuffer: 1 << 20,
      },
    );
    for (const piece of [1, 333, 512, 10_240]) {
      const { entries, complete } = readAll(new Uint8Array(stdout), piece);
      expect(complete).toBe(true);
      expect(entries.map(({ name, kind, size }) => [name, kind, size]).sort()).toEqual(
        [
          ["d/", "directory", 0],
          ["d/empty", "file", 0],
          ["d/link", "symbolic-link", 0],
          [`d/${name}`, "file", 700],
        ].sort(),
      );
      const file = entries.find((entry) => entry.size === 700);
      expect(file).toMatchObject({ mode: 0o640, data: "x".repeat(700) });
      expect(entries.find(({ kind }) => kind === "symbolic-link")?.target).toBe("../target");
    }
  });

  test("that are written are GNU tar's to unpack, and say the same when they are read again", () => {
    const data = "some content";
    const header = {
      kind: "file",
      mode: 0o755,
      size: data.length,
      modifiedAt: 1_000_000,
      target: "",
    } as const;
    const archive = Buffer.concat([
      encodeTarHeader({ name: "d/", kind: "directory", mode: 0o755, size: 0, modifiedAt: 0, target: "" }),
      encodeTarHeader({ ...header, name: `d/${LONG}` }),
      Buffer.from(data),
      tarPadding(data.length),
      encodeTarHeader({
        name: "d/link",
        kind: "symbolic-link",
        mode: 0o777,
        size: 0,
        modifiedAt: 0,
        target: `/${LONG}`,
      }),
      tarEnd(),
    ]);
    const { status, stderr } = spawnSync("tar", ["-xf", "-", "-C", directory], { input: archive });
    expect({ status, stderr: stderr.toString() }).toEqual({ status: 0, stderr: "" });
    expect(readFileSync(join(directory, "d", LONG), "utf8")).toBe(data);
    const { entries } = readAll(new Uint8Array(archive));
    expect(entries[1]).toEqual({ ...header, name: `d/${LONG}`, data });
    expect(entries[2]?.target).toBe(`/${LONG}`);
  });

  test("a file of more than 8 GiB has its size", () => {
    const size = 2 ** 40 + 3;
    let seen = 0;
    const reader = new TarReader({
      entry: (header) => {
        seen = header.size;
      },
      content: () => undefined,
      end: () => undefined,
    });
    reader.push(encodeTarHeader({ name: "big", kind: "file", mode: 0o600, size, modifiedAt: 0, target: "" }));
    expect(seen).toBe(size);
  });

  test("anything else is refused, or ends without the end mark, and nothing else happens", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 512, maxLength: 4096 }), (bytes) => {
        try {
          readAll(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: "malformed-message" });
        }
      }),
    );
    const good = encodeTarHeader({ name: "a", kind: "file", mode: 0, size: 9, modifiedAt: 0, target: "" });
    expect(readAll(good).complete).toBe(false);
    good[0] = 98;
    expect(() => readAll(good)).toThrow("a header whose sum is wrong");
  });
});
