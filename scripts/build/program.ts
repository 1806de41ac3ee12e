/** One program: TypeScript → bundle → bytecode → static binary. */
import { appendFile, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { build } from "esbuild";
import { COMPILER_FLAGS, type Engine } from "./engine.ts";
import { run } from "./run.ts";
import { sourceCommit } from "./source-commit.ts";
import { sourceLinesTable } from "./source-lines.ts";

export interface Program {
  /** The module to start with, relative to the project's root. */
  readonly entry: string;
  /**
   * A second module that the program runs when it wants to (`src/sys/extension.ts`), for what few runs need: it stands at the
   * end of the binary, in no segment, and costs no memory before. It is bundled for itself, so its classes are its own.
   */
  readonly extension?: string;
  /** The binary to write, relative to the project's root. */
  readonly output: string;
}

/** What the engine's objects lack and `using` needs; one line, so that the line table stays simple. */
const BANNER =
  'for(const n of["dispose","asyncDispose"])if(!Symbol[n])Object.defineProperty(Symbol,n,{value:Symbol("Symbol."+n)});';

const ARCHITECTURE = process.arch === "arm64" ? "aarch64" : "x86_64";

/** Ends an extension's name in stacks: its lines are not those of the table. */
const EXTENSION_SUFFIX = ".extension";

/** Builds `program`; intermediate files stay in `build/intermediate` for who wants to look at them. */
export async function buildProgram(root: string, engine: Engine, program: Program): Promise<void> {
  const name = basename(program.output);
  const directory = join(root, "build/intermediate", name);
  await mkdir(directory, { recursive: true });
  await mkdir(dirname(join(root, program.output)), { recursive: true });
  await bundle(root, program.entry, directory, "bundle.js", async (script, map) => {
    const lines = sourceLinesTable(JSON.parse(map), (source) => relative(root, join(directory, source)));
    await writeFile(join(directory, "source-lines.bin"), lines);
    await run(engine.compiler, [script, name, join(directory, "bytecode.bin")]);
  });
  await writeFile(join(directory, "embed.S"), embed());
  const binary = join(directory, name);
  await run(
    "musl-gcc",
    [
      ...COMPILER_FLAGS,
      "-Wall",
      "-Wextra",
      "-Wno-unused-parameter",
      `-DKATA_ARCHITECTURE="${ARCHITECTURE}"`,
      "-static",
      "-Wl,--gc-sections",
      "-Wl,-z,relro,-z,now,-z,noexecstack",
      "-Wl,--build-id=none",
      "-s",
      `-I${engine.include}`,
      join(root, "native/engine.c"),
      "embed.S",
      engine.library,
      "-lm",
      "-o",
      binary,
    ],
    { cwd: directory },
  );
  if (program.extension !== undefined) {
    const bytecode = join(directory, "extension.bin");
    await bundle(root, program.extension, directory, "extension.js", (script) =>
      run(engine.compiler, [script, `${name}${EXTENSION_SUFFIX}`, bytecode]),
    );
    await appendFile(binary, withTrailer(await readFile(bytecode)));
  }
  // Renamed into place: a running program keeps its file.
  await rename(binary, join(root, program.output));
}

/** Bundles the module `entry` to a file of `directory`; `use` gets its path and the text of its source map. */
async function bundle(
  root: string,
  entry: string,
  directory: string,
  file: string,
  use: (script: string, map: string) => Promise<unknown>,
): Promise<void> {
  const path = join(directory, file);
  const result = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile: path,
    bundle: true,
    write: false,
    // compile.c says why the program is one module.
    format: "esm",
    platform: "neutral",
    target: "es2022",
    // esbuild keeps one statement a line without white space minification, which is what the line table counts on.
    minifySyntax: true,
    treeShaking: true,
    sourcemap: "external",
    legalComments: "none",
    mainFields: ["module", "main"],
    conditions: ["module", "import"],
    banner: { js: BANNER },
    define: {
      KATA_ARCHITECTURE: JSON.stringify(ARCHITECTURE),
      KATA_COMMIT: JSON.stringify(await sourceCommit(root)),
    },
    logLevel: "silent",
  });
  const script = result.outputFiles.find(({ path }) => path.endsWith(".js"));
  const map = result.outputFiles.find(({ path }) => path.endsWith(".map"));
  if (script === undefined || map === undefined) throw new Error(`${entry}: esbuild wrote no bundle`);
  await writeFile(path, withQuickDisposal(script.text));
  await use(path, map.text);
}

const DISPOSAL = "__callDispose = (stack, error, hasError) => {";

/**
 * What esbuild makes of `using` calls a helper whose closures refer to each other, so that each use leaves a kilobyte to the
 * garbage collection. Where nothing has to be awaited this does the same without closures, on the helper's first line: the
 * line table stays right.
 */
const QUICK_DISPOSAL = [
  "for (let it; stack.length > 0 && !stack[stack.length - 1][0]; ) {",
  "it = stack.pop();",
  "try { it[1].call(it[2]); } catch (e) {",
  'if (hasError) { error = Object.assign(new Error("An error was suppressed during disposal"), { name: "SuppressedError", error: e, suppressed: error }); }',
  "else { error = e; hasError = true; } } }",
  "if (stack.length === 0) { if (hasError) throw error; return; }",
].join(" ");

function withQuickDisposal(script: string): string {
  if (!script.includes("__callDispose(")) return script;
  if (!script.includes(DISPOSAL))
    throw new Error("esbuild's helper for `using` is not the one that is known here");
  return script.replace(DISPOSAL, `${DISPOSAL} ${QUICK_DISPOSAL}`);
}

/** Bytes of the trailer that `src/sys/extension.ts` looks for at the end of a binary: the length before it and this mark. */
const EXTENSION_MARK = "kataext1";

function withTrailer(bytecode: Uint8Array): Uint8Array {
  const trailer = new DataView(new ArrayBuffer(8));
  trailer.setBigUint64(0, BigInt(bytecode.length), true);
  return Buffer.concat([bytecode, new Uint8Array(trailer.buffer), Buffer.from(EXTENSION_MARK)]);
}

/** Assembler that lays the bytecode and the line table into the binary, without a C array to compile. */
function embed(): string {
  const part = (symbol: string, file: string) =>
    `.balign 16\n.globl ${symbol}\n${symbol}:\n.incbin "${file}"\n.globl ${symbol}_end\n${symbol}_end:\n.byte 0\n`;
  return `.section .rodata\n${part("kata_bytecode", "bytecode.bin")}${part("kata_source_lines", "source-lines.bin")}.section .note.GNU-stack,"",@progbits\n`;
}
