/**
 * `npm run build`: the binaries of `build/bin/`.
 *
 *   npx tsx scripts/build/build.ts                          all of them
 *   npx tsx scripts/build/build.ts --only kata-agent        one
 *   npx tsx scripts/build/build.ts --program ENTRY OUTPUT   any module as a program
 *   npx tsx scripts/build/build.ts --arch aarch64           programs of the engine host for that architecture: build/aarch64/bin/
 */
import { rmSync, statSync, symlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { generate } from "../proto/generate.ts";
import { type Architecture, HOST_ARCHITECTURE } from "./compiler.ts";
import { buildEngine } from "./engine.ts";
import { buildNodeProgram } from "./node-program.ts";
import { buildProgram, type Program } from "./program.ts";
import { NODE_PROGRAMS, OTHER_NAMES, PROGRAMS, SHELL_PROGRAMS } from "./programs.ts";
import { buildPullProgram, PULL_PROGRAM } from "./pull-program.ts";
import { buildShellProgram } from "./shell-program.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

async function main(args: readonly string[]): Promise<void> {
  const started = performance.now();
  generate(root);
  const architecture = architectureOf(args);
  if (architecture !== HOST_ARCHITECTURE) {
    await buildForOther(architecture, args.slice(2));
    console.error(`built in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    return;
  }
  const choice = args[0] === ARCHITECTURE_FLAG ? args.slice(2) : args;
  if (isWanted(PULL_PROGRAM, choice)) {
    await buildPullProgram(root, (text) => console.error(text));
    console.log(`${PULL_PROGRAM}  ${(statSync(join(root, PULL_PROGRAM)).size / 1024).toFixed(0)} KiB`);
  }
  const wanted = chosen(choice);
  const forNode = wanted.filter((program) => NODE_PROGRAMS.includes(program));
  const forShell = wanted.filter((program) => SHELL_PROGRAMS.includes(program));
  const forEngine = wanted.filter((program) => !forNode.includes(program) && !forShell.includes(program));
  if (forEngine.length > 0) {
    const engine = await buildEngine(root, (text) => console.error(text));
    await Promise.all(forEngine.map((program) => buildProgram(root, engine, program)));
  }
  await Promise.all(forNode.map((program) => buildNodeProgram(root, program)));
  await Promise.all(forShell.map((program) => buildShellProgram(root, program)));
  for (const [name, program] of OTHER_NAMES) {
    if (!wanted.some(({ output }) => basename(output) === program)) continue;
    const link = join(root, "build/bin", name);
    rmSync(link, { force: true });
    symlinkSync(program, link);
  }
  tell(wanted);
  console.error(`built in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

function tell(programs: readonly Program[]): void {
  for (const program of programs) {
    const bytes = statSync(join(root, program.output)).size;
    console.log(`${program.output}  ${(bytes / 1024).toFixed(0)} KiB`);
  }
}

const ARCHITECTURE_FLAG = "--arch";

function architectureOf([flag, value]: readonly string[]): Architecture {
  if (flag !== ARCHITECTURE_FLAG) return HOST_ARCHITECTURE;
  if (value === "x86_64" || value === "aarch64") return value;
  throw new Error("--arch is one of x86_64, aarch64");
}

/** What runs in the engine host alone: programs for Node are the same everywhere. */
async function buildForOther(architecture: Architecture, args: readonly string[]): Promise<void> {
  const programs = chosen(args)
    .filter((program) => !NODE_PROGRAMS.includes(program) && !SHELL_PROGRAMS.includes(program))
    .map((program) => ({
      ...program,
      output: program.output.replace(/^build\/bin\//, `build/${architecture}/bin/`),
    }));
  const engine = await buildEngine(root, (text) => console.error(text), architecture);
  await Promise.all(programs.map((program) => buildProgram(root, engine, program)));
  tell(programs);
}

/** Whether a program that is no module is to be built. */
function isWanted(output: string, [flag, name]: readonly string[]): boolean {
  return flag === undefined || (flag === "--only" && name === basename(output));
}

function chosen(args: readonly string[]): readonly Program[] {
  const [flag, first, second] = args;
  const all = [...PROGRAMS, ...NODE_PROGRAMS, ...SHELL_PROGRAMS];
  if (flag === undefined) return all;
  if (flag === "--program" && first !== undefined && second !== undefined) {
    return [{ entry: first, output: second }];
  }
  if (flag === "--only" && first === basename(PULL_PROGRAM)) return [];
  if (flag === "--only" && first !== undefined) {
    const found = all.filter((program) => basename(program.output) === first);
    if (found.length > 0) return found;
  }
  const names = [...all.map(({ output }) => output), PULL_PROGRAM]
    .map((output) => basename(output))
    .join(", ");
  throw new Error(
    `usage: build [--arch ARCHITECTURE] [--only NAME | --program ENTRY OUTPUT]; NAME is one of ${names}`,
  );
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
