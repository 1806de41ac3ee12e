/** Templates on a real file system: found, refused when anything about them has changed, removed to make room. */
import { hasCode } from "../../kata-error.ts";
import {
  AT_FDCWD,
  chmod,
  exists,
  mkdirAll,
  readDirectory,
  removeTree,
  unlinkIfExists,
  writeFile,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { getpid } from "../../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { templateName } from "./template-name.ts";
import { TemplateStore } from "./template-store.ts";

let made = 0;

function emptyStore(): Disposable & { readonly store: TemplateStore; readonly path: string } {
  const path = `/tmp/kata-store-test.${getpid()}.${made++}`;
  const store = new TemplateStore(path);
  store.prepare();
  return { store, path, [Symbol.dispose]: () => removeTree(path) };
}

function make(store: TemplateStore, fingerprint: string): void {
  using unfinished = store.begin(fingerprint, 1);
  writeFile(`/proc/self/fd/${unfinished.state.fd}`, "state");
  unfinished.publish();
}

const noDamage = (reason: string) => assert(false, `no damage, but ${reason}`);

test("a template is found by what it was made from, and by nothing else", () => {
  using here = emptyStore();
  make(here.store, "machine 1");
  using found = here.store.find("machine 1", noDamage);
  assert(found !== undefined, "it is found");
  assertEqual(here.store.find("machine 2", noDamage), undefined);
  assertEqual(
    here.store.list().map(({ manifest }) => [manifest.fingerprint, manifest.memoryMib]),
    [["machine 1", 1]],
  );
});

test("a template that was not finished leaves nothing", () => {
  using here = emptyStore();
  {
    using _unfinished = here.store.begin("machine", 1);
  }
  assertEqual(readDirectory(here.path), []);
});

const damages: readonly [what: string, damage: (directory: string) => void, reason: RegExp][] = [
  ["a state that was written to", (at) => writeFile(`${at}/state`, "other"), /state: it has been changed/],
  ["a memory that is gone", (at) => void unlinkIfExists(`${at}/memory`), /memory: it is missing/],
  ["a memory that was cut off", (at) => writeFile(`${at}/memory`, ""), /memory: it has been changed/],
  ["half a manifest", (at) => writeFile(`${at}/manifest.json`, '{"version": 1,'), /manifest cannot be read/],
  [
    "a manifest of another machine",
    (at) => {
      writeFile(
        `${at}/manifest.json`,
        JSON.stringify({
          version: 1,
          fingerprint: "x",
          memoryMib: 1,
          madeAt: 1,
          memory: { inode: 1, size: 1, modifiedAt: 1 },
          state: { inode: 1, size: 1, modifiedAt: 1 },
        }),
      );
    },
    /another machine's/,
  ],
];
for (const [what, damage, reason] of damages) {
  test(`${what} is told and the template removed`, () => {
    using here = emptyStore();
    make(here.store, "machine");
    const [directory = ""] = here.store.list().map((one) => one.directory);
    damage(directory);
    const told: string[] = [];
    assertEqual(
      here.store.find("machine", (text) => told.push(text)),
      undefined,
    );
    assert(told.length === 1 && reason.test(told[0] ?? ""), `it is told: ${told.join()}`);
    assert(!exists(directory), "it is gone");
  });
}

test("a template in use can be made again and removed", () => {
  using here = emptyStore();
  make(here.store, "machine");
  using first = here.store.find("machine", noDamage);
  make(here.store, "machine");
  using second = here.store.find("machine", noDamage);
  assert(first !== undefined && second !== undefined, "both are open");
  assertEqual(here.store.destroy(), 1);
  assertEqual(readDirectory(here.path), []);
});

test("one process at a time makes a template", () => {
  using here = emptyStore();
  const lock = here.store.lock("machine");
  assert(lock !== undefined, "the first one gets it");
  assertEqual(here.store.lock("machine"), undefined);
  here.store.lock("another machine")?.close();
  lock?.close();
  using again = here.store.lock("machine");
  assert(again !== undefined, "the next one gets it");
});

test("a failure is kept for the next one, and forgotten with a template", () => {
  using here = emptyStore();
  here.store.noteFailure("machine", "no room");
  assertEqual(here.store.failure("machine"), "no room");
  assertEqual(here.store.failure("another machine"), undefined);
  make(here.store, "machine");
  assertEqual(here.store.failure("machine"), undefined);
});

test("failures of machines that nobody asks for any more are removed in time", () => {
  using here = emptyStore();
  for (const machine of ["old machine", "new machine"]) here.store.noteFailure(machine, "no room");
  const failures = () => readDirectory(here.path).map(({ name }) => `${here.path}/${name}`);
  changedLongAgo(failures().find((path) => path.includes(templateName("old machine"))) ?? "");
  make(here.store, "machine");
  assertEqual(
    failures().filter((path) => path.endsWith(".failed")),
    [`${here.path}/${templateName("new machine")}.failed`],
  );
});

/** Source: utimensat(2). */
function changedLongAgo(path: string): void {
  const accessAndModification = BigInt64Array.of(1n, 0n, 1n, 0n);
  check(kernel().syscall("utimensat", AT_FDCWD, path, accessAndModification, 0), "utimensat", path);
}

test("the longest unused templates make room", () => {
  using here = emptyStore();
  for (let index = 0; index < 20; index++) make(here.store, `machine ${index}`);
  const left = here.store.list().map(({ manifest }) => manifest.fingerprint);
  assertEqual(left.length, 16);
  assert(left.includes("machine 19") && !left.includes("machine 0"), `left are ${left.join()}`);
});

test("a directory that others can write to is refused", async () => {
  const path = `/tmp/kata-store-test.${getpid()}.open`;
  mkdirAll(path);
  chmod(path, 0o777);
  try {
    await assertThrows(
      () => new TemplateStore(path).prepare(),
      (error) => hasCode(error, "permission-denied"),
      "it is refused",
    );
  } finally {
    removeTree(path);
  }
});

runTests();
