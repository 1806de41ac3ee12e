/** One run of critest against an instance, with a line of progress for each spec. */
import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { exitStatus } from "../../harness/command.ts";
import type { RuntimeName } from "./cri-instance.ts";
import type { CritestPrograms } from "./critest-programs.ts";
import { parseReport, type SpecResults } from "./spec-report.ts";

const RESULTS = join(import.meta.dirname, "../../../build/test-results");

/** All specs on an emulated processor, and as much again. */
const TIMEOUT = "90m";

export interface CritestRun {
  readonly runtime: RuntimeName;
  readonly endpoint: string;
  /** How many specs run at a time. */
  readonly nodes: number;
  /** Regular expressions for specs' names. */
  readonly focus: string | undefined;
  readonly skip: string | undefined;
}

/** Runs the specs. What critest writes is kept in build/test-results. @throws Error if it does not come to a report. */
export async function runCritest(programs: CritestPrograms, run: CritestRun): Promise<SpecResults> {
  const report = join(RESULTS, `cri-${run.runtime}.json`);
  const log = join(RESULTS, `cri-${run.runtime}.log`);
  await mkdir(RESULTS, { recursive: true });
  await rm(report, { force: true });
  const child = spawn(programs.ginkgo, ginkgoArguments(programs, run, report), {
    env: { ...process.env, PATH: `${dirname(programs.ginkgo)}:${process.env.PATH}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = createWriteStream(log);
  child.stderr.pipe(output, { end: false });
  const ended = exitStatus(child);
  let finished = 0;
  let heading: string | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    output.write(`${line}\n`);
    // A finished spec: a line with how it went and how long it took, then one with its name.
    const text = line.replaceAll(/\x1b\[[\d;]*m/g, "");
    if (heading !== undefined && text.trim() !== "") {
      console.error(`${run.runtime} ${++finished}: ${heading} ${text.trim()}`);
      heading = undefined;
    }
    if (/^[•S] ?(\[|$)/.test(text) && !text.includes("[SKIPPED] [0.000")) heading = text.trim();
  }
  await ended;
  output.end();
  return parseReport(
    await readFile(report, "utf8").catch(() => {
      throw new Error(`critest left no report; see ${log}`);
    }),
  );
}

function ginkgoArguments({ critest }: CritestPrograms, run: CritestRun, report: string): string[] {
  return [
    `--nodes=${run.nodes}`,
    `--timeout=${TIMEOUT}`,
    "--no-color",
    // Names of passed specs too.
    "-v",
    "--keep-going",
    `--output-dir=${dirname(report)}`,
    `--json-report=${report.slice(dirname(report).length + 1)}`,
    ...(run.focus === undefined ? [] : [`--focus=${run.focus}`]),
    ...(run.skip === undefined ? [] : [`--skip=${run.skip}`]),
    critest,
    "--",
    `--runtime-endpoint=${run.endpoint}`,
    "--config=/dev/null",
  ];
}
