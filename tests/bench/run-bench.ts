/**
 * `npm run bench`: how long things take, beside the reference in the same run.
 *
 *   npm run bench                                  a table on stdout
 *   npm run bench -- --only ctr-run,exec           these entries alone; --list names them all
 *   npm run bench -- --rounds 20                   that many measurements of each way (7)
 *   npm run bench -- --pods 200                    that many pods where many are measured (50)
 *   npm run bench -- --curves 0.1                  curves up to that part of their whole length (1)
 *   npm run bench -- --json FILE                   and a list of {name, subject, unit, median, p99, n} in FILE
 *   npm run bench -- --plot DIRECTORY              and ratios.svg, curves.svg there
 *   npm run bench -- --write-baseline FILE         keeps the ratios to runc
 *   npm run bench -- --baseline FILE               fails if a ratio is a quarter worse than there
 *   npm run bench -- --runtime io.containerd.runc.v2   another runtime than ours as the subject
 *
 * Needs root and what `npm run build` and `npm run image` have made.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
import { ctrRuns, execs } from "./container-bench.ts";
import { costCurves, partOfCurves } from "./cost-curves.ts";
import { criPods } from "./cri-pod-bench.ts";
import type { Figure } from "./figure.ts";
import { burst, idle, sequence } from "./many-bench.ts";
import { networkFigures } from "./network-bench.ts";
import { type Curve, curvePlots, ratioBars } from "./plot-svg.ts";
import { policyFigures } from "./policy-figures.ts";
import { resizes } from "./resize-bench.ts";
import { volumes } from "./volume-bench.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const RPC_BENCH = { entry: "tests/bench/rpc-bench.ts", output: "build/test/rpc-bench" };

/** Containers of each runtime whose network is measured, seven seconds each. */
const NETWORK_ROUNDS = 2;

const RPC_DEADLINE_MS = 60_000;

/** Each needs a machine of its own. */
const MOST_RESIZES = 5;

/** What entries are given. */
interface Bench {
  readonly engine: Engine;
  readonly containerd: PrivateContainerd;
  readonly image: string;
  readonly runtime: string;
  readonly rounds: number;
  readonly pods: number;
}

type Entry = (bench: Bench) => Promise<Figure[]>;

/** In the order in which they run without `--only`. */
const ENTRIES: Readonly<Record<string, Entry>> = {
  "ctr-run": ({ containerd, image, runtime, rounds }) => ctrRuns(containerd, image, runtime, rounds),
  exec: ({ containerd, image, rounds }) => execs(containerd, image, rounds),
  "cri-pod": ({ rounds }) => criPods(rounds),
  burst: ({ containerd, image, pods }) => burst(containerd, image, pods),
  sequence: ({ containerd, image, pods }) => sequence(containerd, image, pods),
  idle: ({ containerd, image, pods }) => idle(containerd, image, pods),
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
const OURS_ALONE = ["exec", "cri-pod", "burst", "sequence", "idle", "resize"];
/** Runs with the others, but its results are curves. */
const CURVES = "curves";

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      list: { type: "boolean", default: false },
      json: { type: "string" },
      plot: { type: "string" },
      rounds: { type: "string", default: "7" },
      pods: { type: "string", default: "50" },
      curves: { type: "string", default: "1" },
      baseline: { type: "string" },
      "write-baseline": { type: "string" },
      runtime: { type: "string", default: KATA_RUNTIME },
    },
  });
  if (values.list) {
    process.stdout.write(`${[...Object.keys(ENTRIES), CURVES].join("\n")}\n`);
    return;
  }
  const baseline = values.baseline === undefined ? {} : parseBaseline(readFileSync(values.baseline, "utf8"));
  const chosen = chosenEntries(values.only, values.runtime);
  const rounds = count("--rounds", values.rounds);
  const pods = count("--pods", values.pods);
  const engine = await buildEngine(ROOT, (text) => console.error(text));
  const figures: Figure[] = [];
  let curves: readonly Curve[] = [];
  {
    await using containerd = await startKataContainerd();
    const image = await busyboxImage();
    await importImage(containerd.ctr, image);
    const bench = { engine, containerd, image: image.name, runtime: values.runtime, rounds, pods };
    for (const name of chosen) {
      console.error(`bench: ${name}`);
      if (name === CURVES) {
        curves = await costCurves(containerd, image.name, partOfCurves(Number(values.curves)));
      } else {
        figures.push(...((await ENTRIES[name]?.(bench)) ?? []));
      }
    }
  }
  const ratios = ratiosOf(figures);
  process.stdout.write(`${tableOf(figures)}${ratioTable(ratios)}${curveTable(curves)}`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, undefined, 2)}\n`);
  if (values.plot !== undefined) writePlots(values.plot, ratios, curves);
  const written = values["write-baseline"];
  if (written !== undefined) writeFileSync(written, `${JSON.stringify(ratios, undefined, 2)}\n`);
  const worse = regressions(baseline, ratios);
  for (const sentence of worse) console.error(`bench: ${sentence}`);
  if (worse.length > 0) process.exitCode = 1;
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
    .map(([what, ratio]) => `${what.padEnd(61)} ${ratio.toFixed(2).padStart(9)} × runc\n`)
    .join("");
}

function curveTable(curves: readonly Curve[]): string {
  return curves
    .flatMap(({ title, xName, points }) =>
      points.map(
        ([x, y]) => `${title.padEnd(40)} ${`${x} ${xName}`.padStart(20)} ${y.toFixed(0).padStart(9)} ms\n`,
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
      return `${row.name.padEnd(18)} ${row.subject.padEnd(42)} ${numbers}\n`;
    })
    .reduce(
      (text, line) => text + line,
      `${"".padEnd(61)} ${"median".padStart(12)} ${"p99".padStart(12)} ${"n".padStart(6)}\n`,
    );
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
