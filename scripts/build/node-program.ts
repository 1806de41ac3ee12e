/** One program for Node: TypeScript and its libraries → a script that needs nothing but `node`. */
import { chmod, mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import type { Program } from "./program.ts";

/** Makes the script the same as a CommonJS file and as a module: Node decides by the package.json around it. */
const BANNER = `#!/usr/bin/env node
var require = process.getBuiltinModule("node:module").createRequire(process.execPath);`;

/** Builds `program` as an executable script. */
export async function buildNodeProgram(root: string, program: Program): Promise<void> {
  const output = join(root, program.output);
  await mkdir(dirname(output), { recursive: true });
  const result = await build({
    absWorkingDir: root,
    entryPoints: [program.entry],
    bundle: true,
    write: false,
    format: "iife",
    platform: "node",
    target: "node20",
    loader: { ".rego": "text" },
    minifySyntax: true,
    minifyWhitespace: true,
    treeShaking: true,
    legalComments: "inline",
    banner: { js: BANNER },
    logLevel: "silent",
  });
  const [script] = result.outputFiles;
  if (script === undefined) throw new Error(`${program.entry}: esbuild wrote no bundle`);
  // Renamed into place: a running program keeps its file.
  const unfinished = `${output}.${process.pid}`;
  await writeFile(unfinished, script.contents);
  await chmod(unfinished, 0o755);
  await rename(unfinished, output);
}
