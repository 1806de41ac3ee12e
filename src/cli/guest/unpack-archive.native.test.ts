import { KataError } from "../../kata-error.ts";
import {
  exists,
  lstat,
  mkdirAll,
  O_DIRECTORY,
  O_RDONLY,
  open,
  readDirectory,
  readlink,
  readTextFile,
  removeTree,
  symlink,
  writeFile,
} from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { assert, assertEqual, runTests, test } from "../../sys/testing/native-test.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import { packTree } from "./pack-tree.ts";
import { encodeTarHeader, type TarKind, TarReader, tarEnd, tarPadding } from "./tar-format.ts";
import { Unpacker } from "./unpack-archive.ts";

const DIRECTORY = `/tmp/kata-unpack-test-${getpid()}`;
const LIMITS = { bytes: 1000, entries: 10 };

interface Entry {
  readonly name: string;
  readonly kind: TarKind;
  readonly data?: string;
  readonly target?: string;
  readonly mode?: number;
}

function archiveOf(entries: readonly Entry[]): Uint8Array[] {
  const pieces = entries.flatMap(({ name, kind, data = "", target = "", mode = 0o644 }) => {
    const size = utf8Encode(data).length;
    const header = encodeTarHeader({ name, kind, mode, size, modifiedAt: 0, target });
    // The encoder writes no targets of hard links: what comes from a guest does.
    if (kind === "hard-link") setTarget(header, target);
    return [header, utf8Encode(data), tarPadding(size)];
  });
  return [...pieces, tarEnd()];
}

function setTarget(header: Uint8Array, target: string): void {
  header.set(utf8Encode(target), 157);
  header.set(utf8Encode("        "), 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.set(utf8Encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
}

/** Unpacks `name` of an archive into an empty directory, beside which there is a secret. @returns the code of the refusal. */
async function unpack(
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  check: (into: string, skipped: readonly string[]) => void = () => undefined,
  before: (into: string) => void = () => undefined,
): Promise<string> {
  const into = `${DIRECTORY}/into`;
  mkdirAll(into, 0o700);
  try {
    writeFile(`${DIRECTORY}/secret`, "mine");
    before(into);
    using directory = open(into, O_RDONLY | O_DIRECTORY);
    const skipped: string[] = [];
    using unpacker = new Unpacker({
      directory: directory.fd,
      name: "tree",
      calledHere: "here",
      limits: LIMITS,
      onSkipped: (name) => skipped.push(name),
    });
    const reader = new TarReader(unpacker);
    let code = "";
    try {
      for await (const piece of pieces) reader.push(piece);
    } catch (error) {
      if (!(error instanceof KataError)) throw error;
      code = error.errno ?? error.code;
    }
    assertEqual(readTextFile(`${DIRECTORY}/secret`), "mine", "what is outside");
    check(into, skipped);
    return code;
  } finally {
    removeTree(DIRECTORY);
  }
}

const TREE: Entry = { name: "tree/", kind: "directory", mode: 0o4755 };

test("Unpacker writes files, directories and links under the name that is wanted, without set-id bits", async () => {
  const entries: Entry[] = [
    TREE,
    { name: "tree/file", kind: "file", data: "content", mode: 0o4751 },
    { name: "./tree/link", kind: "symbolic-link", target: "/etc/passwd" },
    { name: "tree/again", kind: "hard-link", target: "tree/file" },
    { name: "tree/device", kind: "other" },
  ];
  // A file of kind "other" would be written as one: make it a device's.
  const pieces = archiveOf(entries);
  const code = await unpack(withDevice(pieces, 12), (into, skipped) => {
    assertEqual(readTextFile(`${into}/here/file`), "content");
    assertEqual(lstat(`${into}/here/file`).mode & 0o7777, 0o751);
    assertEqual(lstat(`${into}/here`).mode & 0o7777, 0o755);
    assertEqual(readlink(`${into}/here/link`), "/etc/passwd");
    assertEqual(lstat(`${into}/here/again`).inode, lstat(`${into}/here/file`).inode);
    assertEqual(skipped, ["tree/device"]);
    assert(!exists(`${into}/here/device`), "no device is made");
  });
  assertEqual(code, "");
});

/** `pieces` whose header number `index` is that of a character device. */
function withDevice(pieces: Uint8Array[], index: number): Uint8Array[] {
  const header = pieces[index];
  if (header !== undefined) {
    header[156] = 51;
    setTarget(header, "");
  }
  return pieces;
}

const HOSTILE: readonly (readonly [what: string, entries: readonly Entry[], code: string])[] = [
  ["a name with ..", [TREE, { name: "tree/../../secret", kind: "file", data: "x" }], "permission-denied"],
  ["an absolute name", [TREE, { name: "/tree/secret", kind: "file", data: "x" }], "permission-denied"],
  ["a name that was not asked for", [{ name: "secret", kind: "file", data: "x" }], "permission-denied"],
  [
    "a file below a link that it has sent before",
    [
      TREE,
      { name: "tree/d", kind: "symbolic-link", target: "../.." },
      { name: "tree/d/secret", kind: "file", data: "x" },
    ],
    "ELOOP",
  ],
  [
    "a directory below such a link",
    [
      TREE,
      { name: "tree/d", kind: "symbolic-link", target: "../.." },
      { name: "tree/d/new/", kind: "directory" },
    ],
    "ELOOP",
  ],
  [
    "a hard link to what is outside",
    [TREE, { name: "tree/l", kind: "hard-link", target: "../secret" }],
    "permission-denied",
  ],
  [
    "a hard link through a link",
    [
      TREE,
      { name: "tree/d", kind: "symbolic-link", target: "../.." },
      { name: "tree/l", kind: "hard-link", target: "tree/d/secret" },
    ],
    "ELOOP",
  ],
  [
    "more content than was agreed upon",
    [TREE, { name: "tree/f", kind: "file", data: "x".repeat(1001) }],
    "out-of-range",
  ],
  [
    "more entries than were agreed upon",
    [TREE, ...Array.from({ length: 10 }, (_, index): Entry => ({ name: `tree/${index}`, kind: "file" }))],
    "out-of-range",
  ],
];

for (const [what, entries, expected] of HOSTILE) {
  test(`Unpacker refuses ${what}, and nothing outside is touched`, async () => {
    const code = await unpack(archiveOf(entries), () => {
      assertEqual(
        readDirectory(DIRECTORY)
          .map(({ name }) => name)
          .sort(),
        ["into", "secret"],
      );
    });
    assertEqual(code, expected);
  });
}

test("Unpacker replaces what is there, a link by a file and not what it leads to", async () => {
  const code = await unpack(
    archiveOf([TREE, { name: "tree/f", kind: "file", data: "new" }]),
    (into) => assertEqual(readTextFile(`${into}/here/f`), "new"),
    (into) => {
      mkdirAll(`${into}/here`);
      symlink("../../secret", `${into}/here/f`);
    },
  );
  assertEqual(code, "");
});

test("what packTree() packs is unpacked as it was; sockets and the like are left out", async () => {
  const source = `${DIRECTORY}-source`;
  mkdirAll(`${source}/d`, 0o755);
  try {
    writeFile(`${source}/d/file`, "x".repeat(900), 0o640);
    symlink("d", `${source}/link`);
    const code = await unpack(
      packTree(source, "tree", () => undefined),
      (into) => {
        assertEqual(readTextFile(`${into}/here/d/file`), "x".repeat(900));
        assertEqual(lstat(`${into}/here/d/file`).mode & 0o7777, 0o640);
        assertEqual(readlink(`${into}/here/link`), "d");
      },
    );
    assertEqual(code, "");
  } finally {
    removeTree(source);
  }
});

runTests();
