/**
 * One program: TypeScript → bundle → bytecode → static binary.
 *
 * The bundle has several parts if the program uses `import()`: what only that needs is in parts of its own, which are not read
 * before, so that they cost neither time nor memory.
 */
import { appendFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { build } from "esbuild";
import { type Architecture, HOST_ARCHITECTURE } from "./compiler.ts";
import { COMPILER_FLAGS, type Engine, type EngineKind } from "./engine.ts";
import { hostObject } from "./host-object.ts";
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
  /**
   * Directories whose parts keep no line numbers, a tenth of their size: what a person runs once tells its failures in sentences, and
   * where it fails by a mistake of ours, the names of functions remain.
   */
  readonly withoutLines?: readonly string[];
  /** `small` if it is not said. */
  readonly engine?: EngineKind;
  /** The binary to write, relative to the project's root. */
  readonly output: string;
}

/** What the engine's objects lack and `using` needs; one line, so that the line table stays simple. */
const BANNER =
  'for(const n of["dispose","asyncDispose"])if(!Symbol[n])Object.defineProperty(Symbol,n,{value:Symbol("Symbol."+n)});';

/** Ends an extension's name in stacks: its lines are not those of the table. */
const EXTENSION_SUFFIX = ".extension";

/** Builds `program`; intermediate files stay in `build/intermediate` for who wants to look at them. */
export async function buildProgram(root: string, engine: Engine, program: Program): Promise<void> {
  const name = basename(program.output);
  const { target } = engine;
  const kind = program.engine ?? "small";
  const directory = join(root, "build/intermediate", intermediateName(name, target.architecture));
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  await mkdir(dirname(join(root, program.output)), { recursive: true });
  const parts = await bundle(root, target.architecture, program.entry, directory, name);
  const rare = parts.filter(
    ({ sources, importsLater }) =>
      // Without its name, which goes with the lines, a part does not find others.
      !importsLater &&
      sources.every((source) => program.withoutLines?.some((above) => source.startsWith(above))),
  );
  await compile(
    engine,
    [],
    parts.filter((part) => !rare.includes(part)),
  );
  if (rare.length > 0) await compile(engine, ["--without-lines"], rare);
  await writeFile(join(directory, "embed.S"), embed(parts));
  const binary = join(directory, name);
  await run(
    target.command,
    [
      ...target.args,
      ...COMPILER_FLAGS,
      "-static",
      "-Wl,--gc-sections",
      "-Wl,-z,relro,-z,now,-z,noexecstack",
      "-Wl,--build-id=none",
      "-s",
      await hostObject(root, engine, kind),
      "embed.S",
      engine.libraries[kind],
      "-lm",
      "-o",
      binary,
    ],
    { cwd: directory, env: target.env },
  );
  if (program.extension !== undefined) {
    const within = join(directory, "extension");
    await mkdir(within);
    const [only, ...more] = await bundle(
      root,
      target.architecture,
      program.extension,
      within,
      `${name}${EXTENSION_SUFFIX}`,
      true,
    );
    if (only === undefined || more.length > 0)
      throw new Error(`${program.extension}: an extension has one part`);
    await compile(engine, ["--without-lines"], [only]);
    await appendFile(binary, withTrailer(await readFile(only.bytecode)));
  }
  // Renamed into place: a running program keeps its file.
  await rename(binary, join(root, program.output));
}

async function compile(engine: Engine, flags: readonly string[], parts: readonly Part[]): Promise<void> {
  const files = parts.flatMap((part) => [part.script, part.name, part.bytecode]);
  await run(engine.compiler, [...flags, ...files]);
}

function intermediateName(name: string, architecture: Architecture): string {
  return architecture === HOST_ARCHITECTURE ? name : `${name}-${architecture}`;
}

/** A module of the bundle. */
interface Part {
  /** What the others import, and stack traces show. */
  readonly name: string;
  /** Files that it is made of, relative to the project's root. */
  readonly sources: readonly string[];
  /** Whether it has an `import()`. */
  readonly importsLater: boolean;
  /** Files of this part, absolute. */
  readonly script: string;
  readonly sourceLines: string;
  readonly bytecode: string;
}

/** Name of the part that a program begins with, as long as it is a file. */
const FIRST = "bundle.js";

/**
 * Bundles the module `entry` into `directory`.
 *
 * @param isTerse whether names are short ones, which nobody wants to see in stacks.
 * @returns its parts; the first one, called `name`, imports the others.
 */
async function bundle(
  root: string,
  architecture: Architecture,
  entry: string,
  directory: string,
  name: string,
  isTerse = false,
): Promise<readonly Part[]> {
  const result = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outdir: directory,
    entryNames: FIRST.slice(0, FIRST.indexOf(".")),
    chunkNames: "[name]-[hash]",
    bundle: true,
    splitting: true,
    write: false,
    // compile.c says why it is modules.
    format: "esm",
    platform: "neutral",
    target: "es2022",
    // esbuild keeps one statement a line without white space minification, which is what the line table counts on.
    minifySyntax: true,
    minifyIdentifiers: isTerse,
    treeShaking: true,
    sourcemap: "external",
    legalComments: "none",
    mainFields: ["module", "main"],
    conditions: ["module", "import"],
    banner: { js: BANNER },
    define: {
      KATA_ARCHITECTURE: JSON.stringify(architecture),
      KATA_COMMIT: JSON.stringify(await sourceCommit(root)),
    },
    logLevel: "silent",
  });
  const scripts = result.outputFiles.filter(({ path }) => path.endsWith(".js"));
  const isFirst = ({ path }: { readonly path: string }) => basename(path) === FIRST;
  const ordered = [...scripts.filter(isFirst), ...scripts.filter((script) => !isFirst(script))];
  return await Promise.all(
    ordered.map(async (script): Promise<Part> => {
      const map = result.outputFiles.find(({ path }) => path === `${script.path}.map`);
      if (map === undefined) throw new Error(`${script.path}: esbuild wrote no source map`);
      const described: { readonly sources: readonly string[] } = JSON.parse(map.text);
      const fromRoot = (source: string) => relative(root, join(directory, source));
      const part = {
        name: isFirst(script) ? name : basename(script.path),
        sources: described.sources.map(fromRoot),
        importsLater: /\bimport\(/.test(script.text),
        script: script.path,
        sourceLines: `${script.path}.lines`,
        bytecode: `${script.path}.bytecode`,
      };
      const lines = sourceLinesTable(JSON.parse(map.text), fromRoot);
      await writeFile(part.script, withQuickDisposal(withoutIdleBanner(script.text)));
      await writeFile(part.sourceLines, lines);
      return part;
    }),
  );
}

/** Leaves the line empty in a part that knows nothing of disposal. */
function withoutIdleBanner(script: string): string {
  return /isposeSymbol|Symbol\.(asyncD|d)ispose|__callDispose = /.test(script.slice(BANNER.length))
    ? script
    : script.replace(BANNER, "");
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

const USING = "__using = (stack, value, async) => {";

/** The same for its other helper: what is no promise's to dispose of is pushed at once. */
const QUICK_USING = [
  "if (!async && value != null) { let dispose = value[Symbol.dispose];",
  'if (typeof dispose == "function") { stack.push([async, dispose, value]); return value; } }',
].join(" ");

function withQuickDisposal(script: string): string {
  if (!script.includes("__callDispose = ")) return script;
  if (!script.includes(DISPOSAL) || !script.includes(USING))
    throw new Error("esbuild's helper for `using` is not the one that is known here");
  return script.replace(DISPOSAL, `${DISPOSAL} ${QUICK_DISPOSAL}`).replace(USING, `${USING} ${QUICK_USING}`);
}

/** Bytes of the trailer that `src/sys/extension.ts` looks for at the end of a binary: the length before it and this mark. */
const EXTENSION_MARK = "kataext1";

function withTrailer(bytecode: Uint8Array): Uint8Array {
  const trailer = new DataView(new ArrayBuffer(8));
  trailer.setBigUint64(0, BigInt(bytecode.length), true);
  return Buffer.concat([bytecode, new Uint8Array(trailer.buffer), Buffer.from(EXTENSION_MARK)]);
}

/** Assembler that lays the parts into the binary, without C arrays to compile, and a table of `struct part` of native/engine.c. */
function embed(parts: readonly Part[]): string {
  const data = (label: string, file: string) =>
    `.balign 16\n${label}:\n.incbin ${JSON.stringify(file)}\n${label}_end:\n.byte 0\n`;
  const rows = parts.map((_, index) => {
    const symbols = ["name", "bytecode", "bytecode_end", "lines", "lines_end"];
    return `.quad ${symbols.map((symbol) => `${symbol.replace(/^[a-z]+/, `$&${index}`)}`).join(", ")}\n`;
  });
  return [
    ".section .rodata\n.balign 4096\n.globl kata_bytecode, kata_bytecode_end\nkata_bytecode:\n",
    ...parts.map(({ bytecode }, index) => data(`bytecode${index}`, bytecode)),
    ".balign 4096\nkata_bytecode_end:\n",
    // Nobody reads these but a program that tells where it failed.
    ...parts.map(({ sourceLines }, index) => data(`lines${index}`, sourceLines)),
    ...parts.map(({ name }, index) => `name${index}: .asciz ${JSON.stringify(name)}\n`),
    `.balign 16\n.globl kata_parts\nkata_parts:\n${rows.join("")}.quad 0, 0, 0, 0, 0\n`,
    '.section .note.GNU-stack,"",@progbits\n',
  ].join("");
}
