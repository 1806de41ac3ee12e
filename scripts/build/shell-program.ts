/** One program that is a shell script: it gets its version put in. */
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { VERSION } from "../../src/version.ts";
import type { Program } from "./program.ts";
import { sourceCommit } from "./source-commit.ts";

/** Writes `program` with `@VERSION@` and `@COMMIT@` replaced. */
export async function buildShellProgram(root: string, program: Program): Promise<void> {
  const output = join(root, program.output);
  await mkdir(dirname(output), { recursive: true });
  const script = await readFile(join(root, program.entry), "utf8");
  const commit = (await sourceCommit(root)) || "unknown";
  // Renamed into place: a shell reads a script while it runs.
  const unfinished = `${output}.${process.pid}`;
  await writeFile(unfinished, script.replaceAll("@VERSION@", VERSION).replaceAll("@COMMIT@", commit));
  await chmod(unfinished, 0o755);
  await rename(unfinished, output);
}
