/** Layers as file systems: tar reading, the index, the tree of hashes. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type TestHeader, tarHeader, tarOf } from "../genpolicy/testing/image-layout.ts";
import { tarEntries } from "./tar-entries.ts";
import { tarfsIndex } from "./tarfs-index.ts";
import { VERITY_BLOCK, verityTree } from "./verity-tree.ts";

const sha256 = (first: Uint8Array, second: Uint8Array) =>
  createHash("sha256").update(first).update(second).digest();

function archive(...headers: readonly (TestHeader | Uint8Array)[]): Uint8Array {
  const blocks = headers.map((header) => (header instanceof Uint8Array ? header : tarHeader(header)));
  return Buffer.concat([...blocks, new Uint8Array(1024)]);
}

/** An extended header. Source: POSIX pax. */
function pax(records: Readonly<Record<string, string>>): Uint8Array {
  const text = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = rest.length + 1;
    while (`${length}${rest}`.length !== length) length++;
    return `${length}${rest}`;
  });
  const content = Buffer.from(text.join(""));
  const padded = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  content.copy(padded);
  return Buffer.concat([tarHeader({ path: "pax", type: "x", size: content.length }), padded]);
}

describe("tar entries", () => {
  test("have their names, types, places and links", () => {
    const tar = archive(
      { path: "dir/", type: "5", mode: 0o755 },
      { path: "link", type: "2", link: "dir/file" },
      { path: "disk", type: "4", major: 8, minor: 1 },
      pax({ path: "long/name", linkpath: "long/target", mtime: "12.5", uid: "70000" }),
      { path: "short", type: "2", link: "short" },
    );
    const entries = [...tarEntries(tar)].map(
      ({ name, type, uid, mtime, linkName, linkOffset, major, minor }) => ({
        name,
        type,
        uid,
        mtime,
        linkName,
        linkOffset,
        major,
        minor,
      }),
    );
    const none = { uid: 0, mtime: 0, major: 0, minor: 0 };
    expect(entries).toEqual([
      { ...none, name: "dir/", type: "directory", linkName: "", linkOffset: 157 },
      { ...none, name: "link", type: "symlink", linkName: "dir/file", linkOffset: 512 + 157 },
      { ...none, name: "disk", type: "block", linkName: "", linkOffset: 1024 + 157, major: 8, minor: 1 },
      {
        ...none,
        name: "long/name",
        type: "symlink",
        linkName: "long/target",
        linkOffset: undefined,
        uid: 70_000,
        mtime: 12,
      },
    ]);
  });

  test("come from GNU's long names too", () => {
    const long = "x".repeat(150);
    const content = Buffer.alloc(512);
    content.write(`${long}\0`);
    const tar = archive({ path: "L", type: "L", size: 151 }, content, { path: "cut" });
    expect([...tarEntries(tar)].map(({ name }) => name)).toEqual([long]);
  });

  test("of unknown types are told of and passed over", () => {
    const skipped: string[] = [];
    const tar = archive({ path: "odd", type: "V" }, { path: "file" });
    expect(
      [...tarEntries(tar, (name, type) => skipped.push(`${name} ${type}`))].map(({ name }) => name),
    ).toEqual(["file"]);
    expect(skipped).toEqual(["odd V"]);
  });

  test.each<[string, Uint8Array]>([
    ["a wrong checksum", Buffer.concat([tarHeader({ path: "a" }).fill(1, 148, 150), new Uint8Array(1024)])],
    ["content that is cut off", tarHeader({ path: "a", size: 600 })],
    [
      "a malformed extended header",
      archive({ path: "p", type: "x", size: 4 }, Buffer.from("9 a=".padEnd(512, "\0"))),
    ],
  ])("with %s are an error", (_what, tar) => {
    expect(() => [...tarEntries(tar)]).toThrow(expect.objectContaining({ code: "invalid-tar" }));
  });
});

/** What the index says of a file system, by path. */
function readIndex(tar: Uint8Array) {
  const index = tarfsIndex(tar);
  const all = Buffer.concat([tar, index]);
  const superblock = all.length - 512;
  const table = Number(all.readBigUInt64LE(superblock));
  const count = Number(all.readBigUInt64LE(superblock + 8));
  const inode = (number: number) => {
    const at = table + (number - 1) * 32;
    return {
      mode: all.readUInt16LE(at),
      flags: all.readUInt8(at + 2),
      mtime: all.readUInt32LE(at + 12) + (all.readUInt8(at + 3) & 0xf) * 2 ** 32,
      size: Number(all.readBigUInt64LE(at + 16)),
      offset: Number(all.readBigUInt64LE(at + 24)),
    };
  };
  const text = (at: number, length: number) => all.subarray(at, at + length).toString("utf8");
  const files: Record<string, unknown> = {};
  const walk = (number: number, path: string) => {
    const { mode, flags, mtime, size, offset } = inode(number);
    const kind = mode & 0o170000;
    const content = kind === 0o100000 || kind === 0o120000 ? text(offset, size) : undefined;
    files[path || "/"] = { number, mode: mode.toString(8), flags, mtime, content };
    if (kind !== 0o040000) return;
    for (let at = offset; at < offset + size; at += 32) {
      const name = text(Number(all.readBigUInt64LE(at + 8)), Number(all.readBigUInt64LE(at + 16)));
      walk(Number(all.readBigUInt64LE(at)), `${path}/${name}`);
    }
  };
  walk(1, "");
  return { length: all.length, count, files };
}

describe("the index of a layer", () => {
  test("lists files, links, whiteouts and implied directories, breadth first", () => {
    const tar = archive(
      { path: "b/deep", mode: 0o4755, mtime: 2 ** 32 + 5 },
      { path: "a", type: "2", link: "b/deep" },
      pax({ linkpath: "t".repeat(120) }),
      { path: "long", type: "2" },
      { path: "b/hard", type: "1", link: "b/deep" },
      { path: "b/.wh.gone", mode: 0 },
      { path: "b/.wh..wh..opq", mode: 0 },
      { path: "../up", mode: 0o600 },
    );
    const { length, count, files } = readIndex(tar);
    expect(length % VERITY_BLOCK).toBe(0);
    expect(count).toBe(7);
    const plain = { flags: 0, mtime: 0, content: undefined };
    expect(files).toEqual({
      "/": { ...plain, number: 1, mode: "40555" },
      "/a": { ...plain, number: 2, mode: "120644", content: "b/deep" },
      "/b": { ...plain, number: 3, mode: "40555", flags: 1 },
      "/long": { ...plain, number: 4, mode: "120644", content: "t".repeat(120) },
      "/up": { ...plain, number: 5, mode: "100600", content: "" },
      "/b/deep": { ...plain, number: 6, mode: "100755", mtime: 2 ** 32 + 5, content: "" },
      "/b/gone": { ...plain, number: 7, mode: "20000" },
      "/b/hard": { ...plain, number: 6, mode: "100755", mtime: 2 ** 32 + 5, content: "" },
    });
  });

  test("leads to the content in the archive, of the last entry of a name", () => {
    const tar = Buffer.concat([
      tarOf({ "etc/x": "old", "etc/y": "y" }).subarray(0, 2048),
      tarOf({ "etc/x": "new one" }),
    ]);
    expect(readIndex(tar).files).toMatchObject({
      "/etc/x": { content: "new one" },
      "/etc/y": { content: "y" },
    });
  });
});

describe("the tree of hashes", () => {
  /** The tree as the kernel's documentation has it, written down plainly. */
  function rootOf(level: Uint8Array): string {
    const hashes: Uint8Array[] = [];
    for (let at = 0; at < level.length; at += 4096) {
      hashes.push(sha256(new Uint8Array(32), level.subarray(at, at + 4096)));
    }
    if (hashes.length === 1) return Buffer.from(hashes[0] ?? []).toString("hex");
    return rootOf(Buffer.concat([...hashes, new Uint8Array((4096 - ((hashes.length * 32) % 4096)) % 4096)]));
  }

  test.each([1, 2, 128, 129, 300])("over %i blocks has the root that the kernel computes", (blocks) => {
    const data = Uint8Array.from({ length: blocks * 4096 }, (_, i) => (i * 7 + (i >> 12)) & 0xff);
    expect(verityTree([data], sha256).rootHash).toBe(rootOf(data));
  });

  test("does not depend on how the data is cut", () => {
    const data = Uint8Array.from({ length: 5 * 4096 }, (_, i) => i & 0xff);
    const whole = verityTree([data], sha256);
    for (const cut of [1, 100, 4096, 9000]) {
      expect(verityTree([data.subarray(0, cut), data.subarray(cut)], sha256)).toEqual(whole);
    }
  });

  test("has its top level first", () => {
    const { levels } = verityTree([new Uint8Array(129 * 4096)], sha256);
    expect(levels.map(({ length }) => length)).toEqual([4096, 2 * 4096]);
  });

  test("is not made over parts of blocks", () => {
    expect(() => verityTree([new Uint8Array(100)], sha256)).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});
