/**
 * The QuickJS engine as a static library for musl, built once from Debian's source package.
 *
 * `build/cache/engine/<architecture>-<key>/` then holds `libquickjs.a`, `libquickjs-quick.a`, the bytecode compiler and the engine's headers.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fetchSourcePackage } from "../apt/private-apt.ts";
import { type Architecture, type Compiler, findCompiler, HOST_ARCHITECTURE } from "./compiler.ts";
import { run } from "./run.ts";

/** Pinned: bytecode and our use of the C interface belong to this version. */
const QUICKJS_VERSION = "2025.04.26-1";
const QUICKJS_SUITE = "trixie";

/** The engine proper; `quickjs-libc`, its own way to the system, is left out on purpose. */
const UNITS = ["quickjs", "libregexp", "libunicode", "cutils", "dtoa"];

/**
 * What a program's engine is compiled for: `small` for those of which a host has many, `quick` where the processor may be emulated. In
 * an emulated guest, the quick one needs half to two thirds of the small one's time, and is 160 KiB larger; where code begins makes no
 * difference to an emulator.
 */
export type EngineKind = "small" | "quick";

export const OPTIMIZATION: Readonly<Record<EngineKind, readonly string[]>> = {
  small: ["-Os"],
  quick: ["-O2", "-falign-functions=1", "-falign-loops=1", "-falign-jumps=1", "-falign-labels=1"],
};

export const COMPILER_FLAGS = [
  "-std=gnu11",
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
  readonly libraries: Readonly<Record<EngineKind, string>>;
  /** Compiles for the machine that the engine is for. */
  readonly target: Compiler;
  /** Command that turns a script into bytecode: `compile SCRIPT NAME OUTPUT`. */
  readonly compiler: string;
}

/**
 * The engine, built if the cache has none for this version, these flags and this compiler program. Bytecode is the same for all
 * architectures, and is compiled by this machine's own engine.
 */
export async function buildEngine(
  root: string,
  progress: (text: string) => void,
  architecture: Architecture = HOST_ARCHITECTURE,
): Promise<Engine> {
  const target = await findCompiler(root, architecture, progress);
  const own = architecture === HOST_ARCHITECTURE ? undefined : await buildEngine(root, progress);
  const compilerSource = join(root, "native/compile.c");
  const key = createHash("sha256")
    .update(JSON.stringify([QUICKJS_VERSION, UNITS, COMPILER_FLAGS, OPTIMIZATION, "interpreter"]))
    .update(readFileSync(compilerSource))
    .digest("hex")
    .slice(0, 16);
  const cache = join(root, "build/cache");
  const directory = join(cache, "engine", `${architecture}-${key}`);
  const source = join(directory, "source");
  const engine: Engine = {
    include: source,
    libraries: { small: join(directory, "libquickjs.a"), quick: join(directory, "libquickjs-quick.a") },
    target,
    compiler: own?.compiler ?? join(directory, "compile"),
  };
  if (existsSync(join(directory, "complete"))) return engine;

  progress(`building the QuickJS engine ${QUICKJS_VERSION} for ${architecture} (once, about 40 s)`);
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
  for (const kind of ["small", "quick"] as const) {
    const library = join(unfinished, basename(engine.libraries[kind]));
    await compileUnits(target, join(unfinished, "source"), OPTIMIZATION[kind], library);
  }
  if (own === undefined) {
    await run(target.command, [
      ...target.args,
      ...COMPILER_FLAGS,
      ...OPTIMIZATION.small,
      "-static",
      `-I${join(unfinished, "source")}`,
      compilerSource,
      join(unfinished, "libquickjs.a"),
      "-lm",
      "-o",
      join(unfinished, "compile"),
    ]);
  }
  await writeFile(join(unfinished, "complete"), "");
  await rm(directory, { recursive: true, force: true });
  await rename(unfinished, directory);
  return engine;
}

/** Compiles the engine's units into a static library. */
async function compileUnits(
  target: Compiler,
  source: string,
  optimization: readonly string[],
  library: string,
): Promise<void> {
  // The interpreter itself is what a program's time goes to.
  const levelOf = (unit: string) => (unit === "quickjs" ? optimization : OPTIMIZATION.small);
  const objectOf = (unit: string) => join(source, `${unit}${optimization[0]}.o`);
  await Promise.all(
    UNITS.map((unit) =>
      run(
        target.command,
        [...target.args, ...COMPILER_FLAGS, ...levelOf(unit), "-c", `${unit}.c`, "-o", objectOf(unit)],
        { cwd: source, env: target.env },
      ),
    ),
  );
  await run(target.archiver, ["rcs", library, ...UNITS.map(objectOf)], { env: target.env });
}
