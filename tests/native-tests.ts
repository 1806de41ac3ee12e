/** The test programs that run in the engine host on the real kernel: every `src/**\/*.native.test.ts` is one. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { buildEngine } from "../scripts/build/engine.ts";
import { buildProgram } from "../scripts/build/program.ts";
import { runCommand } from "./harness/command.ts";
import type { Counts } from "./stages.ts";

const STAND_INS = "tests/stand-ins";
const SUFFIX = ".native.test.ts";

/** Each test of a program has a deadline of its own; this is for a program that does not even count it, ms. */
const PROGRAM_DEADLINE_MS = 300_000;

/** Builds and runs them all, one after the other; their reports go to the terminal. */
export async function runNativeTests(root: string): Promise<Counts> {
  const entries = (await readdir(join(root, "src"), { recursive: true })).filter((path) =>
    path.endsWith(SUFFIX),
  );
  const engine = await buildEngine(root, (text) => console.error(text));
  await buildStandIns(root);
  let [passed, failed] = [0, 0];
  for (const entry of entries.sort()) {
    // src/sys/core.native.test.ts → build/test/sys-core
    const output = `build/test/${entry.slice(0, -SUFFIX.length).replaceAll("/", "-")}`;
    await buildProgram(root, engine, { entry: `src/${entry}`, output });
    const result = await runCommand(join(root, output), [], { deadlineMs: PROGRAM_DEADLINE_MS });
    const outcome = countTap(result.stdout);
    // A program that dies has not run the rest of its plan.
    const lost = Math.max(outcome.planned - outcome.passed - outcome.failed, 0);
    const died = result.status !== 0 && outcome.failed + lost === 0 ? 1 : 0;
    passed += outcome.passed;
    failed += outcome.failed + lost + died;
    const healthy = outcome.failed + lost + died === 0;
    console.log(`${healthy ? "ok" : "not ok"} - ${output}: ${outcome.passed} of ${outcome.planned} passed`);
    if (!healthy) console.log(`exit status ${result.status}\n${result.stdout}${result.stderr}`);
  }
  return { passed, failed, skipped: 0 };
}

/** Builds the programs that stand in for monitors: `tests/stand-ins/NAME/main.ts` → `build/test/stand-in-NAME`. */
export async function buildStandIns(root: string): Promise<void> {
  const engine = await buildEngine(root, (text) => console.error(text));
  const entries = await readdir(join(root, STAND_INS), { withFileTypes: true });
  for (const { name } of entries.filter((entry) => entry.isDirectory())) {
    const output = `build/test/stand-in-${name}`;
    await buildProgram(root, engine, { entry: `${STAND_INS}/${name}/main.ts`, output });
  }
}

/** Counts what a program reports. Source: Test Anything Protocol 13. */
function countTap(text: string): {
  readonly planned: number;
  readonly passed: number;
  readonly failed: number;
} {
  const count = (pattern: RegExp) => text.match(pattern)?.length ?? 0;
  return {
    planned: Number(/^1\.\.(\d+)$/m.exec(text)?.[1] ?? 0),
    passed: count(/^ok \d+/gm),
    failed: count(/^not ok \d+/gm),
  };
}
