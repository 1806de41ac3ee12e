/** Layers that somebody made up to leave the image: nothing outside of it changes, and whatever is wrong with one is told. */
import { KataError } from "../../kata-error.ts";
import {
  exists,
  mkdirAll,
  O_PATH,
  open,
  readDirectory,
  readTextFile,
  removeTree,
  stat,
  symlink,
  writeAll,
  writeFile,
} from "../../sys/files.ts";
import { memfdCreate } from "../../sys/memory.ts";
import { MS_PRIVATE, MS_REC, mount } from "../../sys/mount.ts";
import { unshare } from "../../sys/namespaces.ts";
import { CLONE_NEWNS, getpid } from "../../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import { unpackLayer } from "./unpack-layer.ts";

unshare(CLONE_NEWNS);
mount(null, "/", null, MS_REC | MS_PRIVATE);

const BLOCK = 512;
const DIRECTORY = `/tmp/kata-unpack-test.${getpid()}`;

interface Made {
  readonly name: string;
  readonly type: string;
  readonly link?: string;
  readonly content?: string;
  readonly mode?: number;
}

/** One entry of a tar archive. Source: POSIX pax, "ustar Interchange Format". */
function entry({ name, type, link = "", content = "", mode = 0o644 }: Made): Uint8Array {
  const bytes = utf8Encode(content);
  const whole = new Uint8Array(BLOCK + Math.ceil(bytes.length / BLOCK) * BLOCK);
  const put = (text: string, at: number) => whole.set(utf8Encode(text), at);
  put(name, 0);
  put(mode.toString(8).padStart(7, "0"), 100);
  put("0000000", 108);
  put("0000000", 116);
  put(bytes.length.toString(8).padStart(11, "0"), 124);
  put("00000000000", 136);
  put("        ", 148);
  put(type, 156);
  put(link, 157);
  put("ustar\u000000", 257);
  put("0000000", 329);
  put("0000000", 337);
  const sum = whole.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  whole.set(bytes, BLOCK);
  return whole;
}

function archive(entries: readonly Made[]): Uint8Array {
  const parts = [...entries.map(entry), new Uint8Array(2 * BLOCK)];
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

async function unpack(entries: readonly Made[], root: string, isLowest = false): Promise<void> {
  const bytes = archive(entries);
  using tar = memfdCreate("tar");
  writeAll(tar.fd, bytes);
  using directory = open(root, O_PATH);
  await unpackLayer(tar.fd, bytes, directory.fd, isLowest);
}

async function withRoot(body: (root: string) => Promise<void>): Promise<void> {
  mkdirAll(`${DIRECTORY}/outside`);
  mkdirAll(`${DIRECTORY}/root`);
  writeFile(`${DIRECTORY}/outside/kept`, "kept");
  try {
    await body(`${DIRECTORY}/root`);
    assertEqual(
      readDirectory(DIRECTORY)
        .map(({ name }) => name)
        .sort(),
      ["outside", "root"],
      "nothing is beside the root",
    );
    assertEqual(
      readDirectory(`${DIRECTORY}/outside`).map(({ name }) => name),
      ["kept"],
      "nothing is outside",
    );
    assertEqual(readTextFile(`${DIRECTORY}/outside/kept`), "kept");
  } finally {
    removeTree(DIRECTORY);
  }
}

test("kinds of files replace each other, and what is not mentioned stays", () =>
  withRoot(async (root) => {
    await unpack(
      [
        { name: "dir/", type: "5", mode: 0o700 },
        { name: "dir/a", type: "0", content: "a" },
        { name: "dir/b", type: "0", content: "b" },
        { name: "file", type: "0", content: "file" },
        { name: "link", type: "2", link: "dir" },
        { name: "set", type: "0", content: "x", mode: 0o4755 },
      ],
      root,
      true,
    );
    await unpack(
      [
        { name: "./dir", type: "0", content: "now a file" },
        { name: "file/", type: "5" },
        { name: "file/inside", type: "1", link: "set" },
        { name: "link/", type: "5" },
        { name: "deep/er/x", type: "0", content: "x" },
      ],
      root,
    );
    assertEqual(readTextFile(`${root}/dir`), "now a file");
    assertEqual(stat(`${root}/file/inside`).mode & 0o7777, 0o4755);
    assertEqual(stat(`${root}/set`).links, 2);
    assertEqual(readDirectory(`${root}/link`).length, 0, "a directory in the place of a link");
    assertEqual(readTextFile(`${root}/deep/er/x`), "x");
  }));

test("what a layer takes away is the lower layers', in whatever order it says so", () =>
  withRoot(async (root) => {
    await unpack(
      [
        { name: "d/old", type: "0", content: "old" },
        { name: "d/same", type: "0", content: "old" },
        { name: "gone/x", type: "0" },
      ],
      root,
      true,
    );
    await unpack(
      [
        { name: "d/same", type: "0", content: "new" },
        { name: "d/.wh..wh..opq", type: "0" },
        { name: ".wh.gone", type: "0" },
      ],
      root,
    );
    assertEqual(
      readDirectory(`${root}/d`).map(({ name }) => name),
      ["same"],
    );
    assertEqual(readTextFile(`${root}/d/same`), "new");
    assert(!exists(`${root}/gone`), "it is taken away");
  }));

test("links lead nowhere but into the image", () =>
  withRoot(async (root) => {
    // One that was there before, as a lower layer's.
    symlink(`${DIRECTORY}/outside`, `${root}/absolute`);
    symlink("../outside", `${root}/relative`);
    for (const name of ["absolute/kept", "relative/kept"]) {
      // In the image, what they lead to is not there.
      await assertThrows(
        () => unpack([{ name, type: "0", content: "evil" }], root),
        (error) => error instanceof KataError,
        name,
      );
    }
    await assertThrows(
      () => unpack([{ name: "hard", type: "1", link: "../outside/missing" }], root),
      (error) => error instanceof KataError && error.errno === "ENOENT",
      "a link to what is not in the image",
    );
    await assertThrows(
      () => unpack([{ name: "a/../../outside/evil", type: "0" }], root),
      (error) => error instanceof KataError && error.code === "invalid-argument",
      "a name that leads out",
    );
  }));

/** As random as needs be, and the same each time. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const NAMES = [
  ...[
    "a",
    "a/",
    "a/b",
    "a/b/c",
    "b",
    "./a",
    "/a",
    "//b//c",
    ".",
    "",
    "..",
    "../outside/evil",
    "a/../../outside/evil",
  ],
  ...[
    "link",
    "link/kept",
    "link/evil",
    "a/link",
    "a/link/kept",
    ".wh.a",
    ".wh.link",
    "link/.wh.kept",
    "a/.wh..wh..opq",
  ],
  ...[".wh..", ".wh...", ".wh.", ".wh..wh..opq", "link/.wh..wh..opq"],
];
const LINKS = [
  "a",
  "/a",
  "..",
  "../outside",
  "../outside/kept",
  `${DIRECTORY}/outside`,
  "link",
  "/",
  ".",
  "a/link",
  "",
];
const TYPES = ["0", "0", "1", "2", "2", "5", "6", "7"];
const LAYERS = 400;

test("no layer made at random changes anything outside of the image", () =>
  withRoot(async (root) => {
    const random = generator(20_261_127);
    const one = (list: readonly string[]) => list[random(list.length)] ?? "";
    let unpacked = 0;
    for (let layer = 0; layer < LAYERS; layer++) {
      const entries = Array.from({ length: 1 + random(12) }, () => ({
        name: one(NAMES),
        type: one(TYPES),
        link: one(LINKS),
        content: random(2) === 0 ? "" : "evil",
        mode: random(0o10000),
      }));
      try {
        await unpack(entries, root);
        unpacked++;
      } catch (error) {
        if (!(error instanceof KataError)) throw error;
      }
    }
    assert(unpacked > 20, `${unpacked} of ${LAYERS} were layers`);
  }));

runTests();
