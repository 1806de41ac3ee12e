/** The engine host, `native/engine.c`, compiled: the same object is in every program of one kind and architecture. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { madeOnce } from "../apt/made-once.ts";
import { COMPILER_FLAGS, type Engine, type EngineKind, OPTIMIZATION } from "./engine.ts";
import { run } from "./run.ts";

const SOURCES = "native";
const MAIN = "engine.c";

/** @returns the path of the object; compiled unless the cache has it for these sources, flags and this engine. */
export async function hostObject(root: string, engine: Engine, kind: EngineKind): Promise<string> {
  const { target } = engine;
  const flags = [
    ...target.args,
    ...COMPILER_FLAGS,
    ...OPTIMIZATION[kind],
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    `-DKATA_ARCHITECTURE="${target.architecture}"`,
  ];
  const names = (await readdir(join(root, SOURCES))).filter((name) => /\.[ch]$/.test(name)).sort();
  const contents = await Promise.all(names.map((name) => readFile(join(root, SOURCES, name), "utf8")));
  // The engine's directory is named after its version and its own flags.
  const inputs = JSON.stringify([target.command, flags, basename(dirname(engine.include)), names, contents]);
  const key = createHash("sha256").update(inputs).digest("hex").slice(0, 16);
  const directory = await madeOnce(join(root, "build/cache/engine-host", key), (into) =>
    run(
      target.command,
      [...flags, `-I${engine.include}`, "-c", join(root, SOURCES, MAIN), "-o", join(into, "engine.o")],
      { env: target.env },
    ),
  );
  return join(directory, "engine.o");
}
