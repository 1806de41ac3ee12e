/** EROFS images as others read them: the kernel, which mounts them here, and erofs-utils. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type TestHeader, tarHeader } from "../genpolicy/testing/image-layout.ts";
import { sourceOf } from "./byte-source.ts";
import { erofsImage } from "./erofs-image.ts";
import { type Directory, layerTree, newDirectory, type TreeNode } from "./layer-tree.ts";

const UUID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-erofs-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function imageOf(root: Directory): Buffer {
  const image = erofsImage(root, UUID);
  const bytes = Buffer.concat([...image.pieces()].map((piece) => Buffer.from(piece)));
  expect(bytes.length).toBe(image.length);
  return bytes;
}

let images = 0;

/** Calls `look` with the place where the image is mounted. */
function mounted<T>(image: Uint8Array, look: (root: string) => T): T {
  // A file of its own: the kernel may still have the loop device of the one before.
  const [file, root] = [join(directory, `image${++images}`), join(directory, "root")];
  writeFileSync(file, image);
  execFileSync("/usr/bin/fsck.erofs", [file], { stdio: "pipe" });
  mkdirSync(root, { recursive: true });
  execFileSync("mount", ["-t", "erofs", "-o", "ro,loop", file, root]);
  try {
    return look(root);
  } finally {
    execFileSync("umount", [root]);
  }
}

function file(text: string | Uint8Array, attributes: Partial<Directory> = {}): TreeNode {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const { kind: _, members: __, ...rest } = newDirectory(attributes);
  return { ...rest, kind: "file", content: { source: sourceOf(bytes), offset: 0, length: bytes.length } };
}

function directoryOf(
  members: Readonly<Record<string, TreeNode>>,
  attributes: Partial<Directory> = {},
): Directory {
  const made = newDirectory(attributes);
  for (const [name, node] of Object.entries(members)) made.members.set(name, node);
  return made;
}

function symlink(target: string): TreeNode {
  const { kind: _, members: __, ...rest } = newDirectory({ mode: 0o777 });
  return { ...rest, kind: "symlink", target: new TextEncoder().encode(target) };
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Everything below a directory, by path. */
function listing(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (path: string) => {
    const status = lstatSync(join(root, path));
    const head = `${status.mode.toString(8)} ${status.uid}:${status.gid} ${status.mtimeMs / 1000} ${status.nlink}`;
    if (status.isDirectory()) {
      found[path || "/"] = head;
      for (const name of readdirSync(join(root, path))) walk(`${path}/${name}`);
    } else if (status.isFile()) found[path] = `${head} ${sha256(readFileSync(join(root, path)))}`;
    else if (status.isSymbolicLink()) found[path] = `${head} ${readlinkSync(join(root, path))}`;
    else found[path] = `${head} ${status.rdev}`;
  };
  walk("");
  return found;
}

describe("the kernel finds in an image", () => {
  test("files of all sizes around a block's, with owners, times and set-id bits", () => {
    const sizes = [0, 1, 100, 4031, 4032, 4033, 4095, 4096, 4097, 8191, 8192, 20_000, (1 << 20) + 5, 3 << 20];
    const files = Object.fromEntries(
      sizes.map((size) => [`f${size}`, Uint8Array.from({ length: size }, (_, i) => (i * 31 + size) & 0xff)]),
    );
    const attributes = { mode: 0o4755, uid: 70_000, gid: 4_000_000_000, mtime: 2 ** 33 + 7 };
    const root = directoryOf(
      Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, file(bytes, attributes)])),
      { mode: 0o1777, uid: 1, gid: 2, mtime: 5 },
    );
    expect(mounted(imageOf(root), listing)).toEqual({
      "/": "41777 1:2 5 2",
      ...Object.fromEntries(
        Object.entries(files).map(([name, bytes]) => [
          `/${name}`,
          `104755 70000:4000000000 ${2 ** 33 + 7} 1 ${sha256(bytes)}`,
        ]),
      ),
    });
  });

  test("links, devices and pipes", () => {
    const shared = file("shared");
    const { kind: _, members: __, ...plain } = newDirectory({ mode: 0o600 });
    const root = directoryOf({
      a: shared,
      d: directoryOf({ b: shared, deep: directoryOf({}) }),
      link: symlink("d/b"),
      long: symlink("x".repeat(4090)),
      whiteout: { ...plain, mode: 0, kind: "character", major: 0, minor: 0 },
      disk: { ...plain, kind: "block", major: 259, minor: 0x12345 },
      pipe: { ...plain, kind: "fifo" },
    });
    const seen = mounted(imageOf(root), (place) => ({
      list: listing(place),
      same: lstatSync(`${place}/a`).ino === lstatSync(`${place}/d/b`).ino,
    }));
    expect(seen.same).toBe(true);
    expect(seen.list).toMatchObject({
      "/": "40755 0:0 0 3",
      "/a": `100755 0:0 0 2 ${sha256(Buffer.from("shared"))}`,
      "/d": "40755 0:0 0 3",
      "/link": "120777 0:0 0 1 d/b",
      "/long": `120777 0:0 0 1 ${"x".repeat(4090)}`,
      "/whiteout": "20000 0:0 0 1 0",
      "/pipe": "10600 0:0 0 1 0",
    });
    expect(seen.list["/disk"]).toMatch(/^60600 /);
    expect(Number(seen.list["/disk"]?.split(" ").at(-1))).toBe(259 * 256 + 0x45 + 0x123 * 2 ** 20);
  });

  test("directories of thousands of names, each of which can be looked up", () => {
    const names = Array.from({ length: 3000 }, (_, i) => `${"-+.A~"[i % 5]}${i}${"n".repeat(i % 200)}`);
    const root = directoryOf({
      many: directoryOf(Object.fromEntries(names.map((name) => [name, file(name)]))),
    });
    mounted(imageOf(root), (place) => {
      expect(readdirSync(`${place}/many`).sort()).toEqual([...names].sort());
      for (const name of names) expect(readFileSync(`${place}/many/${name}`, "utf8")).toBe(name);
      expect(existsSync(`${place}/many/-`)).toBe(false);
    });
  });

  test("extended attributes", () => {
    const xattrs = new Map([
      ["user.short", new TextEncoder().encode("v")],
      ["security.capability", Uint8Array.of(1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)],
      ["trusted.overlay.opaque", new TextEncoder().encode("y")],
      ["user.long", new Uint8Array(5000).fill(0x61)],
    ]);
    const root = directoryOf({ f: file("content", { xattrs }), d: directoryOf({}, { xattrs }) });
    mounted(imageOf(root), (place) => {
      for (const name of ["f", "d"]) {
        const told = attributesOf(`${place}/${name}`, [...xattrs.keys()]);
        expect(told).toEqual(
          Object.fromEntries([...xattrs].map(([key, value]) => [key, Buffer.from(value).toString("hex")])),
        );
      }
      expect(readFileSync(`${place}/f`, "utf8")).toBe("content");
    });
  });

  test("what any tree has in it", () => {
    const name = fc.string({ minLength: 1, maxLength: 60 }).filter((text) => !/[/\0]|^\.\.?$/.test(text));
    const { tree } = fc.letrec<{ tree: Directory; node: TreeNode }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 4, depthSize: "small" },
        fc.uint8Array({ maxLength: 9000 }).map((bytes) => file(bytes)),
        fc.constant(symlink("t")),
        tie("tree"),
      ),
      tree: fc.dictionary(name, tie("node"), { maxKeys: 40 }).map((members) => directoryOf(members)),
    }));
    fc.assert(
      fc.property(tree, (root) => {
        const expected: Record<string, string> = {};
        const walk = (node: TreeNode, path: string) => {
          if (node.kind === "directory") {
            for (const [member, below] of node.members) walk(below, `${path}/${member}`);
          } else if (node.kind === "file")
            expected[path] = sha256(node.content.source.read(0, node.content.length));
          else expected[path] = "t";
        };
        walk(root, "");
        const found = mounted(imageOf(root), (place) =>
          Object.entries(listing(place)).filter(([, line]) => !line.startsWith("4")),
        );
        expect(Object.fromEntries(found.map(([path, line]) => [path, line.split(" ").at(-1)]))).toEqual(
          expected,
        );
      }),
      { numRuns: 25 },
    );
  }, 60_000);
});

/** What getxattr(2) says, hex. Node itself does not ask. */
function attributesOf(path: string, names: readonly string[]): Record<string, string> {
  const script =
    "import os,sys\nfor n in sys.argv[2:]: print(n, os.getxattr(sys.argv[1], n, follow_symlinks=False).hex())";
  const text = execFileSync("python3", ["-c", script, path, ...names], { encoding: "utf8" });
  return Object.fromEntries(
    text
      .trim()
      .split("\n")
      .map((line) => line.split(" ") as [string, string]),
  );
}

describe("a layer's tree", () => {
  const archive = (...headers: readonly TestHeader[]) =>
    Buffer.concat([...headers.map(tarHeader), new Uint8Array(1024)]);

  test("has whiteouts as overlayfs reads them, links that are followed, and the last entry of a name", () => {
    const root = layerTree(
      archive(
        { path: "usr/lib", type: "5", mode: 0o755 },
        { path: "lib", type: "2", link: "usr/lib" },
        { path: "lib/file", mode: 0o600 },
        { path: "usr/lib/file", mode: 0o640 },
        { path: "hard", type: "1", link: "lib/file" },
        { path: "usr/.wh.gone" },
        { path: "usr/.wh..wh..opq" },
        { path: "usr/", type: "5", mode: 0o700 },
        { path: "../up" },
      ),
    );
    const usr = root.members.get("usr");
    if (usr?.kind !== "directory") throw new Error("no directory");
    expect(usr).toMatchObject({
      mode: 0o700,
      xattrs: new Map([["trusted.overlay.opaque", Uint8Array.of(0x79)]]),
    });
    expect(usr.members.get("gone")).toMatchObject({ kind: "character", major: 0, minor: 0, mode: 0 });
    const lib = usr.members.get("lib");
    if (lib?.kind !== "directory") throw new Error("no directory");
    expect(lib.members.get("file")).toMatchObject({ kind: "file", mode: 0o640 });
    expect(root.members.get("hard")).toBe(lib.members.get("file"));
    expect([...root.members.keys()]).toEqual(["usr", "lib", "hard", "up"]);
  });

  test.each<[string, readonly TestHeader[]]>([
    ["a hard link to nothing", [{ path: "a", type: "1", link: "b" }]],
    [
      "links that lead round",
      [{ path: "a", type: "2", link: "b" }, { path: "b", type: "2", link: "a" }, { path: "a/x" }],
    ],
    ["a whiteout of nothing", [{ path: ".wh." }]],
  ])("of an archive with %s is an error", (_what, headers) => {
    expect(() => layerTree(archive(...headers))).toThrow(expect.objectContaining({ code: "invalid-layer" }));
  });

  test("has the extended attributes of the archive", () => {
    const whole = Buffer.from("28 SCHILY.xattr.user.x=\xff\0=y\n", "latin1");
    const padded = Buffer.alloc(512);
    whole.copy(padded);
    const tar = Buffer.concat([
      tarHeader({ path: "p", type: "x", size: whole.length }),
      padded,
      tarHeader({ path: "with" }),
      tarHeader({ path: "without" }),
      new Uint8Array(1024),
    ]);
    const root = layerTree(tar);
    expect(root.members.get("with")?.xattrs).toEqual(
      new Map([["user.x", Uint8Array.of(0xff, 0, 0x3d, 0x79)]]),
    );
    expect(root.members.get("without")?.xattrs).toEqual(new Map());
  });
});
