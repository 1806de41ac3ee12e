/**
 * `npm run bench`: how long things take, beside the reference in the same run.
 *
 *   npm run bench                                  a table on stdout
 *   npm run bench -- --only ctr-run,exec           these entries alone; --list names them all
 *   npm run bench -- --rounds 20                   that many measurements of each way (7)
 *   npm run bench -- --pods 20                     that many pods where many are measured (burst 50, sequence and idle 200)
 *   npm run bench -- --curves 0.1                  curves up to that part of their whole length (1)
 *   npm run bench -- --json FILE                   and a list of {name, subject, unit, median, p99, n} in FILE
 *   npm run bench -- --only breakdown --trace DIR  where the time of a start goes, phase by phase, and the traces themselves
 *   npm run bench -- --plot DIRECTORY              and ratios.svg, curves.svg there
 *   npm run bench -- --document PAGE               and tables of all that between the marks of a page
 *   npm run bench -- --write-baseline FILE         keeps the ratios to runc
 *   npm run bench -- --baseline FILE               fails if a ratio is a quarter worse than there, or there is no such file
 *   npm run bench -- --baseline FILE --again 15    but measures what is worse once more, with so many rounds, before it fails
 *   npm run bench -- --without kata-cold           leaves out a way to start containers
 *   npm run bench -- --runtime io.containerd.runc.v2   another runtime than ours as the subject
 *
 * Needs root and what `npm run build` and `npm run image` have made.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildEngine, type Engine } from "../../scripts/build/engine.ts";
import { buildProgram } from "../../scripts/build/program.ts";
import { mustRun, startCommand } from "../harness/command.ts";
import { busyboxImage, importImage } from "../harness/images.ts";
import { startKataContainerd } from "../harness/kata-containerd.ts";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { KATA_RUNTIME, RUNC_RUNTIME, subjectOf } from "../harness/subject.ts";
import { type Baseline, parseBaseline, ratiosOf, regressions } from "./baseline.ts";
import { breakdown } from "./breakdown.ts";
import { ctrRuns, execs, otherRuns } from "./container-bench.ts";
import { type CurveSizes, costCurves, partOfCurves } from "./cost-curves.ts";
import { criPods } from "./cri-pod-bench.ts";
import { costOfOne, withFigures } from "./document.ts";
import type { Figure } from "./figure.ts";
import { footprint } from "./footprint.ts";
import { burst, idle, sequence } from "./many-bench.ts";
import { networkFigures } from "./network-bench.ts";
import { type Curve, curvePlots, ratioBars } from "./plot-svg.ts";
import { policyFigures } from "./policy-figures.ts";
import { resizes } from "./resize-bench.ts";
import { KataSubjects } from "./subjects.ts";
import { volumes } from "./volume-bench.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const RPC_BENCH = { entry: "tests/bench/rpc-bench.ts", output: "build/test/rpc-bench" };

/** Containers of each runtime whose network is measured, seven seconds each. */
const NETWORK_ROUNDS = 2;

const RPC_DEADLINE_MS = 60_000;

/** Each needs a machine of its own. */
const MOST_RESIZES = 5;

/** What a phase takes differs little. */
const MOST_TRACED = 10;

/** What entries are given. */
interface Bench {
  readonly engine: Engine;
  readonly containerd: PrivateContainerd;
  readonly image: string;
  readonly runtime: string;
  /** This project's ways to start a container; undefined if it is not measured, or nothing chosen needs them. */
  readonly kata: KataSubjects | undefined;
  /** Names of ways that are not measured. */
  readonly without: readonly string[];
  readonly rounds: number;
  /** How many where many are measured; undefined for each entry's own number. */
  readonly pods: number | undefined;
  /** Where traces are kept; undefined to forget them. */
  readonly traces: string | undefined;
}

type Entry = (bench: Bench) => Promise<Figure[]>;

/** In the order in which they run without `--only`. */
const ENTRIES: Readonly<Record<string, Entry>> = {
  "ctr-run": ({ containerd, image, runtime, kata, rounds, without }) =>
    kata === undefined
      ? otherRuns(containerd, image, runtime, rounds)
      : ctrRuns(containerd, image, kata, rounds, without),
  // One takes a fraction of a second, and a median of few is a matter of luck.
  exec: (bench) => execs(bench.containerd, bench.image, ours(bench), bench.rounds * EXECS_A_ROUND),
  "cri-pod": (bench) => criPods(ours(bench), bench.rounds),
  breakdown: (bench) =>
    breakdown(bench.containerd, bench.image, ours(bench), Math.min(bench.rounds, MOST_TRACED), bench.traces),
  burst: (bench) => burst(bench.containerd, bench.image, ours(bench), bench.pods ?? PODS_AT_ONCE),
  sequence: (bench) => sequence(bench.containerd, bench.image, ours(bench), bench.pods ?? PODS_OF_A_NODE),
  idle: (bench) => idle(bench.containerd, bench.image, ours(bench), bench.pods ?? PODS_OF_A_NODE),
  footprint: (bench) => footprint(bench.containerd, bench.image, ours(bench)),
  network: (bench) => {
    const runtimes = [...new Set([bench.runtime, RUNC_RUNTIME])];
    return networkFigures({ ...bench, root: ROOT }, runtimes, NETWORK_ROUNDS, subjectName);
  },
  volumes: ({ engine, containerd, image, runtime }) => volumes(ROOT, engine, containerd, image, runtime),
  policy: ({ engine, containerd, image, runtime }) => policyFigures(ROOT, engine, containerd, image, runtime),
  resize: ({ containerd, image, rounds }) => resizes(containerd, image, Math.min(rounds, MOST_RESIZES)),
  protocol: ({ engine }) => protocol(engine),
};

/** Those that know this project's own configuration, and run for no other runtime. */
const OURS_ALONE = ["exec", "cri-pod", "breakdown", "burst", "sequence", "idle", "footprint", "resize"];
/** Runs with the others, but its results are curves. */
const CURVES = "curves";
/** Those that start containers by this project's ways, with one pool and one template for all of them. */
const WITH_SUBJECTS = [
  "ctr-run",
  "exec",
  "cri-pod",
  "breakdown",
  "burst",
  "sequence",
  "idle",
  "footprint",
  CURVES,
];

const EXECS_A_ROUND = 3;
const PODS_AT_ONCE = 50;
/** More than upstream's runtime has been seen to start on one node (kata-containers/kata-containers#12007). */
const PODS_OF_A_NODE = 200;

/** What has been measured so far, by entries. */
interface Results {
  readonly figures: Map<string, readonly Figure[]>;
  curves: readonly Curve[];
  /** Of entries that could not be carried out. */
  readonly failures: string[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      list: { type: "boolean", default: false },
      json: { type: "string" },
      trace: { type: "string" },
      plot: { type: "string" },
      document: { type: "string" },
      rounds: { type: "string", default: "7" },
      pods: { type: "string" },
      curves: { type: "string", default: "1" },
      without: { type: "string", default: "" },
      baseline: { type: "string" },
      again: { type: "string" },
      "write-baseline": { type: "string" },
      runtime: { type: "string", default: KATA_RUNTIME },
    },
  });
  if (values.list) {
    process.stdout.write(`${[...Object.keys(ENTRIES), CURVES].join("\n")}\n`);
    return;
  }
  const baseline = values.baseline === undefined ? {} : readBaseline(values.baseline);
  const again = values.again === undefined ? undefined : count("--again", values.again);
  const chosen = chosenEntries(values.only, values.runtime);
  const settings = {
    runtime: values.runtime,
    without: values.without.split(","),
    rounds: count("--rounds", values.rounds),
    pods: values.pods === undefined ? undefined : count("--pods", values.pods),
    curves: partOfCurves(Number(values.curves)),
    traces: values.trace,
  };
  // Said now rather than after half an hour.
  if (values.document !== undefined) withFigures(readFileSync(values.document, "utf8"), [], []);
  const engine = await buildEngine(ROOT, (text) => console.error(text));
  const results: Results = { figures: new Map(), curves: [], failures: [] };
  await measure(chosen, engine, settings, results);
  const doubtful = chosen.filter((name) => worse(baseline, results, name).length > 0);
  if (doubtful.length > 0 && again !== undefined) {
    for (const name of doubtful) {
      for (const sentence of worse(baseline, results, name))
        console.error(`bench: measured again: ${sentence}`);
    }
    await measure(doubtful, engine, { ...settings, rounds: again }, results);
  }
  const figures = [...results.figures.values()].flat();
  const ratios = ratiosOf(figures);
  process.stdout.write(`${tableOf(figures)}${ratioTable(ratios)}${curveTable(results.curves)}`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, undefined, 2)}\n`);
  if (values.plot !== undefined) writePlots(values.plot, ratios, results.curves);
  if (values.document !== undefined) {
    const page = readFileSync(values.document, "utf8");
    writeFileSync(values.document, withFigures(page, figures, results.curves));
  }
  const written = values["write-baseline"];
  if (written !== undefined) writeFileSync(written, `${JSON.stringify(ratios, undefined, 2)}\n`);
  const sentences = [...results.failures, ...regressions(baseline, ratios)];
  for (const sentence of sentences) console.error(`bench: ${sentence}`);
  if (sentences.length > 0) process.exitCode = 1;
}

interface Settings extends Pick<Bench, "runtime" | "without" | "rounds" | "pods" | "traces"> {
  readonly curves: CurveSizes;
}

/** Runs the entries in a containerd of their own; what they find takes the place of what `results` had of them. */
async function measure(
  entries: readonly string[],
  engine: Engine,
  settings: Settings,
  results: Results,
): Promise<void> {
  await using containerd = await startKataContainerd();
  const image = await busyboxImage();
  await importImage(containerd.ctr, image);
  const needed = settings.runtime === KATA_RUNTIME && entries.some((name) => WITH_SUBJECTS.includes(name));
  await using kata = needed ? new KataSubjects(containerd, 1) : undefined;
  const bench: Bench = { engine, containerd, image: image.name, kata, ...settings };
  for (const name of entries) {
    const began = performance.now();
    try {
      if (name === CURVES) {
        results.curves = await costCurves(containerd, image.name, ours(bench), settings.curves);
      } else {
        results.figures.set(name, (await ENTRIES[name]?.(bench)) ?? []);
      }
    } catch (error) {
      // What the others have found in half an hour is worth more than an early end.
      results.failures.push(`${name}: ${error instanceof Error ? error.message : error}`);
    }
    console.error(`bench: ${name} took ${((performance.now() - began) / 1000).toFixed(0)} s`);
  }
}

function ours({ kata }: Bench): KataSubjects {
  if (kata === undefined) throw new Error("bench: this entry measures this project's runtime alone");
  return kata;
}

/** Ratios of an entry that are too far above the baseline's. */
function worse(baseline: Baseline, { figures }: Results, name: string): string[] {
  return regressions(baseline, ratiosOf(figures.get(name) ?? []));
}

/** @throws Error with what to do if there is none: a gate without it would let everything pass. */
function readBaseline(file: string): Baseline {
  if (existsSync(file)) return parseBaseline(readFileSync(file, "utf8"));
  throw new Error(
    `bench: there is no baseline ${file}: write it on a quiet machine by npm run bench -- --only ctr-run,exec,cri-pod --rounds 20 --write-baseline ${file}`,
  );
}

function chosenEntries(only: string | undefined, runtime: string): string[] {
  const all = [...Object.keys(ENTRIES), CURVES];
  const names = only?.split(",") ?? all;
  const unknown = names.find((name) => !all.includes(name));
  if (unknown !== undefined) throw new Error(`bench: no entry ${unknown}: there are ${all.join(", ")}`);
  return runtime === KATA_RUNTIME
    ? names
    : names.filter((name) => !OURS_ALONE.includes(name) && name !== CURVES);
}

function count(flag: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1) return number;
  throw new Error(`bench: ${flag} is ${text}, no number`);
}

function writePlots(directory: string, ratios: Baseline, curves: readonly Curve[]): void {
  mkdirSync(directory, { recursive: true });
  if (Object.keys(ratios).length > 0) writeFileSync(join(directory, "ratios.svg"), ratioBars(ratios));
  if (curves.length > 0) writeFileSync(join(directory, "curves.svg"), curvePlots(curves));
}

function ratioTable(ratios: Baseline): string {
  return Object.entries(ratios)
    .map(([what, ratio]) => `${what.padEnd(66)} ${ratio.toFixed(2).padStart(9)} × runc\n`)
    .join("");
}

function curveTable(curves: readonly Curve[]): string {
  return curves
    .flatMap(({ title, xName, points }) =>
      points.map(
        ([x, y]) =>
          `${title.padEnd(40)} ${`${x} ${xName}`.padStart(20)} ${y.toFixed(0).padStart(9)} ms ${costOfOne(xName, x, y).padStart(12)}\n`,
      ),
    )
    .join("");
}

/** What a runtime is called in the figures of what runs in its containers. */
function subjectName(runtime: string): string {
  return subjectOf(runtime).virtualMachine ? "kata" : "runc";
}

/** Costs of ttrpc and the codec, in the engine host. */
async function protocol(engine: Engine): Promise<Figure[]> {
  await buildProgram(ROOT, engine, RPC_BENCH);
  const program = join(ROOT, RPC_BENCH.output);
  const directory = mkdtempSync(join(tmpdir(), "kata-bench-"));
  try {
    const socket = join(directory, "socket");
    await using server = startCommand(program, ["serve", socket]);
    await server.until("the server listens", (stdout) => stdout.includes("ready"), RPC_DEADLINE_MS);
    return JSON.parse(
      await mustRun(program, ["measure", socket], { deadlineMs: RPC_DEADLINE_MS }),
    ) as Figure[];
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function tableOf(figures: readonly Figure[]): string {
  const unit = {
    ms: "ms",
    us: "µs",
    bytes: "MiB",
    "bytes/s": "MB/s",
    "pods/s": "pods/s",
    pods: "pods",
    times: "times",
    cores: "cores",
  } as const;
  return figures
    .map((row) => {
      const divisor = { "bytes/s": 1e6, bytes: 1 << 20 } as const;
      const shown = (number: number) =>
        number / (row.unit === "bytes/s" || row.unit === "bytes" ? divisor[row.unit] : 1);
      const value = (number: number) =>
        `${shown(number).toFixed(row.unit === "cores" ? 4 : row.unit === "ms" && number >= 20 ? 0 : 1)} ${unit[row.unit]}`;
      const numbers = `${value(row.median).padStart(12)} ${value(row.p99).padStart(12)} ${`${row.n}`.padStart(6)}`;
      return `${row.name.padEnd(23)} ${row.subject.padEnd(42)} ${numbers}\n`;
    })
    .reduce(
      (text, line) => text + line,
      `${"".padEnd(66)} ${"median".padStart(12)} ${"p99".padStart(12)} ${"n".padStart(6)}\n`,
    );
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
