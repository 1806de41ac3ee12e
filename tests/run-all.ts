/**
 * `npm test`: builds everything and runs every suite.
 *
 *   npm test                               all stages
 *   npm test -- --only unit,e2e            some of them
 *   npm test -- --list                     their names
 *
 * The last line is `N passed, N failed`; the exit status is 1 if anything failed or could not run.
 */
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { duration } from "../scripts/demo/narrator.ts";
import { removeAbandonedInstances } from "./harness/abandoned-containerd.ts";
import { INSTANCE_PREFIX } from "./harness/private-containerd.ts";
import { type Counts, NOTHING, STAGES, type TestStage } from "./stages.ts";

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
  for (const stage of chosen(values.only)) {
    console.log(`\n── ${stage.name}: ${stage.what}`);
    outcomes.push(await play(stage, outcomes));
  }
  return summarise(outcomes);
}

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

async function play(stage: TestStage, before: readonly Outcome[]): Promise<Outcome> {
  const broken = before.find((outcome) => outcome.broken && stage.needs.includes(outcome.stage.name));
  if (broken !== undefined) {
    console.log(`not run: ${broken.stage.name} failed`);
    return { stage, broken: true, ms: 0, ...NOTHING, failed: 1 };
  }
  const started = performance.now();
  try {
    const counts = await stage.run();
    return { stage, broken: false, ms: performance.now() - started, ...counts };
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return { stage, broken: true, ms: performance.now() - started, ...NOTHING, failed: 1 };
  }
}

function summarise(outcomes: readonly Outcome[]): number {
  console.log("");
  for (const { stage, ms, passed, failed, skipped } of outcomes) {
    const counts = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
    console.log(`${stage.name.padEnd(10)} ${duration(ms).padStart(12)}   ${counts}`);
  }
  const sum = (key: keyof Counts) => outcomes.reduce((total, outcome) => total + outcome[key], 0);
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
