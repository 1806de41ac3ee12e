/**
 * The QuickJS engine as a static library for musl, built once from Debian's source package.
 *
 * `build/cache/engine/<architecture>/` then holds `libquickjs.a`, the bytecode compiler and the engine's headers.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fetchSourcePackage } from "../apt/private-apt.ts";
import { run } from "./run.ts";

/** Pinned: bytecode and our use of the C interface belong to this version. */
const QUICKJS_VERSION = "2025.04.26-1";
const QUICKJS_SUITE = "trixie";

/** The engine proper; `quickjs-libc`, its own way to the system, is left out on purpose. */
const UNITS = ["quickjs", "libregexp", "libunicode", "cutils", "dtoa"];

export const COMPILER_FLAGS = [
  "-std=gnu11",
  "-Os",
  "-ffunction-sections",
  "-fdata-sections",
  "-fno-asynchronous-unwind-tables",
  "-fno-strict-aliasing",
  "-fwrapv",
  "-fstack-protector-strong",
  "-D_GNU_SOURCE",
  `-DCONFIG_VERSION="${QUICKJS_VERSION}"`,
];

export interface Engine {
  /** Directory of `quickjs.h`. */
  readonly include: string;
  readonly library: string;
  /** Command that turns a script into bytecode: `compile SCRIPT NAME OUTPUT`. */
  readonly compiler: string;
}

/** The engine, built if the cache has none for this version, these flags and this compiler program. */
export async function buildEngine(root: string, progress: (text: string) => void): Promise<Engine> {
  const compilerSource = join(root, "native/compile.c");
  const key = createHash("sha256")
    .update(JSON.stringify([QUICKJS_VERSION, UNITS, COMPILER_FLAGS]))
    .update(readFileSync(compilerSource))
    .digest("hex")
    .slice(0, 16);
  const cache = join(root, "build/cache");
  const directory = join(cache, "engine", `${process.arch}-${key}`);
  const source = join(directory, "source");
  const engine: Engine = {
    include: source,
    library: join(directory, "libquickjs.a"),
    compiler: join(directory, "compile"),
  };
  if (existsSync(join(directory, "complete"))) return engine;

  progress(`building the QuickJS engine ${QUICKJS_VERSION} (once, about 20 s)`);
  const unfinished = `${directory}.${process.pid}`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  const unpacked = await fetchSourcePackage({
    suite: QUICKJS_SUITE,
    name: "quickjs",
    version: QUICKJS_VERSION,
    into: unfinished,
  });
  await rename(unpacked, join(unfinished, "source"));
  await Promise.all(
    UNITS.map((unit) =>
      run("musl-gcc", [...COMPILER_FLAGS, "-c", `${unit}.c`, "-o", `../${unit}.o`], {
        cwd: join(unfinished, "source"),
      }),
    ),
  );
  const objects = UNITS.map((unit) => join(unfinished, `${unit}.o`));
  await run("ar", ["rcs", join(unfinished, "libquickjs.a"), ...objects]);
  await run("musl-gcc", [
    ...COMPILER_FLAGS,
    "-static",
    `-I${join(unfinished, "source")}`,
    compilerSource,
    join(unfinished, "libquickjs.a"),
    "-lm",
    "-o",
    join(unfinished, "compile"),
  ]);
  await writeFile(join(unfinished, "complete"), "");
  await rm(directory, { recursive: true, force: true });
  await rename(unfinished, directory);
  return engine;
}
