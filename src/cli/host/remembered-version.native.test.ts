import { chmod, mkdirAll, removeTree, writeFile } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { assertEqual, runTests, test } from "../../sys/testing/native-test.ts";
import { rememberedVersion } from "./remembered-version.ts";

async function withDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = `/tmp/kata-remembered-version-test-${getpid()}`;
  mkdirAll(directory, 0o700);
  try {
    await body(directory);
  } finally {
    removeTree(directory);
  }
}

/** Answers with how often it was asked. */
function counter(): (program: string) => Promise<string> {
  let asked = 0;
  return async () => `version ${++asked}`;
}

test("rememberedVersion() asks a binary once, and again when it has changed, or what was written down is damaged", async () => {
  await withDirectory(async (directory) => {
    const [program, file] = [`${directory}/monitor`, `${directory}/versions.json`];
    const ask = counter();
    writeFile(program, "\x7fELF and more");
    assertEqual(await rememberedVersion(program, ask, file), "version 1");
    assertEqual(await rememberedVersion(program, ask, file), "version 1");
    chmod(program, 0o700);
    assertEqual(await rememberedVersion(program, ask, file), "version 2");
    writeFile(file, '[{"program":1},');
    assertEqual(await rememberedVersion(program, ask, file), "version 3");
    assertEqual(await rememberedVersion(program, ask, file), "version 3");
  });
});

test("rememberedVersion() remembers a few programs, and asks where it cannot write", async () => {
  await withDirectory(async (directory) => {
    const file = `${directory}/versions.json`;
    const ask = counter();
    const programs = Array.from({ length: 9 }, (_, index) => `${directory}/monitor${index}`);
    for (const program of programs) writeFile(program, "\x7fELF");
    for (const program of programs) await rememberedVersion(program, ask, file);
    const [first = "", second = ""] = programs;
    assertEqual(await rememberedVersion(second, ask, file), "version 2");
    assertEqual(await rememberedVersion(first, ask, file), "version 10");
    const nowhere = `${directory}/missing/versions.json`;
    assertEqual(await rememberedVersion(first, ask, nowhere), "version 11");
    assertEqual(await rememberedVersion(first, ask, nowhere), "version 12");
  });
});

test("rememberedVersion() asks a script each time, as what it starts can change", async () => {
  await withDirectory(async (directory) => {
    const program = `${directory}/monitor`;
    writeFile(program, "#!/bin/sh\n");
    const ask = counter();
    assertEqual(await rememberedVersion(program, ask, `${directory}/versions.json`), "version 1");
    assertEqual(await rememberedVersion(program, ask, `${directory}/versions.json`), "version 2");
  });
});

runTests();
