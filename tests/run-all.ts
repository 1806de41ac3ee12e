/**
 * `npm test`: builds everything and runs every suite.
 *
 *   npm test                               all stages
 *   npm test -- --only unit,e2e            some of them
 *   npm test -- --list                     their names
 *
 * The last line is `N passed, N failed`; the exit status is 1 if anything failed or could not run.
 */
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { duration } from "../scripts/demo/narrator.ts";
import { removeAbandonedInstances } from "./harness/abandoned-containerd.ts";
import { expectHostClean, takeHostSnapshot } from "./harness/host-snapshot.ts";
import { INSTANCE_PREFIX, type InstanceAddress } from "./harness/private-containerd.ts";
import { type Counts, NOTHING, ROOT, STAGES, type Surroundings, type TestStage } from "./stages.ts";

const INTERRUPTED_STAGE_ENDS_MS = 1000;

interface Outcome extends Counts {
  readonly stage: TestStage;
  /** It could not be carried out: what needs it has nothing to work with. A failed test does not stop others. */
  readonly broken: boolean;
  readonly ms: number;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { only: { type: "string" }, list: { type: "boolean", default: false } },
  });
  if (values.list) {
    for (const { name, what } of STAGES) console.log(`${name.padEnd(10)} ${what}`);
    return 0;
  }
  const outcomes: Outcome[] = [];
  cleanUpOnInterrupt();
  const stages = chosen(values.only);
  const isBeside = (stage: TestStage) => stages.some(({ name }) => name === stage.beside);
  for (const stage of stages.filter((candidate) => !isBeside(candidate))) {
    const companions = stages.filter(({ beside }) => beside === stage.name);
    const played =
      companions.length === 0
        ? [await play(stage, outcomes, { output: "inherit", sharedHost: false })]
        : await playBeside(stage, companions, outcomes);
    outcomes.push(...played);
  }
  return summarise(outcomes);
}

/**
 * Plays `stage` and, at the same time, `companions` one after the other; their output is shown when all are done.
 *
 * Each can only tell what it has left itself. What all of them have left together is seen at the end, unless others use the
 * machine as well (`KATA_TEST_SHARED_HOST=1`).
 */
async function playBeside(
  stage: TestStage,
  companions: readonly TestStage[],
  before: readonly Outcome[],
): Promise<Outcome[]> {
  const host = await takeHostSnapshot(NO_INSTANCE);
  const path = join(ROOT, "build/test-results", `beside-${stage.name}.log`);
  mkdirSync(dirname(path), { recursive: true });
  const output = openSync(path, "w");
  const names = companions.map(({ name }) => name).join(", ");
  console.log(`\n── beside ${stage.name}: ${names}, shown when all are done`);
  const others = async () => {
    const outcomes: Outcome[] = [];
    for (const companion of companions) {
      outcomes.push(await play(companion, [...before, ...outcomes], { output, sharedHost: true }));
    }
    return outcomes;
  };
  const all = await Promise.all([play(stage, before, { output: "inherit", sharedHost: true }), others()]);
  closeSync(output);
  process.stdout.write(`\n── ${names}\n${readFileSync(path, "utf8")}`);
  const outcomes = all.flat();
  if (process.env.KATA_TEST_SHARED_HOST === "1") return outcomes;
  const look: TestStage = {
    name: "host",
    what: "is clean after all of them",
    needs: [],
    run: async () => {
      await expectHostClean(NO_INSTANCE, host, { containers: [], sharedHost: false });
      return { ...NOTHING, passed: 1 };
    },
  };
  return [...outcomes, await play(look, [], { output: "inherit", sharedHost: false })];
}

/** Nothing that is left belongs to an instance of containerd any more. */
const NO_INSTANCE: InstanceAddress = {
  tag: "none",
  directory: "/nonexistent",
  socket: "/nonexistent/socket",
  binaries: undefined,
  snapshotter: "native",
};

/** Ctrl-C reaches the running stage too, and ends it; what its containerd leaves is removed here. */
function cleanUpOnInterrupt(): void {
  let stopping = false;
  process.on("SIGINT", () => {
    if (stopping) return;
    stopping = true;
    const stop = async () => {
      // An instance counts as abandoned once the stage that started it has ended.
      await setTimeout(INTERRUPTED_STAGE_ENDS_MS);
      await removeAbandonedInstances(INSTANCE_PREFIX);
    };
    stop()
      .catch((error: unknown) => console.error(error instanceof Error ? error.message : error))
      .finally(() => process.exit(130));
  });
}

function chosen(only: string | undefined): readonly TestStage[] {
  if (only === undefined) return STAGES;
  const names = only.split(",");
  for (const name of names) {
    if (!STAGES.some((stage) => stage.name === name)) {
      throw new Error(`--only: no stage ${name} (there are ${STAGES.map((stage) => stage.name).join(", ")})`);
    }
  }
  return STAGES.filter((stage) => names.includes(stage.name));
}

async function play(
  stage: TestStage,
  before: readonly Outcome[],
  surroundings: Surroundings,
): Promise<Outcome> {
  if (surroundings.output === "inherit") console.log(`\n── ${stage.name}: ${stage.what}`);
  const broken = before.find((outcome) => outcome.broken && stage.needs.includes(outcome.stage.name));
  if (broken !== undefined) {
    console.log(`not run: ${broken.stage.name} failed`);
    return { stage, broken: true, ms: 0, ...NOTHING, failed: 1 };
  }
  const started = performance.now();
  try {
    const counts = await stage.run(surroundings);
    return { stage, broken: false, ms: performance.now() - started, ...counts };
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return { stage, broken: true, ms: performance.now() - started, ...NOTHING, failed: 1 };
  }
}

function summarise(outcomes: readonly Outcome[]): number {
  console.log("");
  for (const { stage, ms, passed, failed, skipped, lines = [] } of outcomes) {
    const counts = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
    console.log(`${stage.name.padEnd(11)} ${duration(ms).padStart(12)}   ${counts}`);
    for (const line of lines) console.log(`${" ".repeat(27)}${line}`);
  }
  const sum = (key: "passed" | "failed" | "skipped") =>
    outcomes.reduce((total, outcome) => total + outcome[key], 0);
  const skipped = sum("skipped");
  console.log(
    `\n${sum("passed")} passed, ${sum("failed")} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`,
  );
  return sum("failed") > 0 ? 1 : 0;
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 2;
  },
);
