/**
 * `npm run bench`: how long things take, beside the reference in the same run.
 *
 *   npm run bench                                  a table on stdout
 *   npm run bench -- --json FILE                   and a list of {name, subject, unit, median, p99, n} in FILE
 *   npm run bench -- --rounds 20                   that many containers of each way to start one (7)
 *   npm run bench -- --runtime io.containerd.runc.v2   another runtime than ours as the subject
 *
 * Needs root and what `npm run build` and `npm run image` have made.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildEngine, type Engine } from "../../scripts/build/engine.ts";
import { buildProgram } from "../../scripts/build/program.ts";
import { mustRun, startCommand } from "../harness/command.ts";
import { busyboxImage, importImage } from "../harness/images.ts";
import { startKataContainerd } from "../harness/kata-containerd.ts";
import { KATA_RUNTIME, RUNC_RUNTIME, subjectOf } from "../harness/subject.ts";
import { containers } from "./container-bench.ts";
import type { Figure } from "./figure.ts";
import { networkFigures } from "./network-bench.ts";
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

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: "string" },
      rounds: { type: "string", default: "7" },
      runtime: { type: "string", default: KATA_RUNTIME },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`bench: --rounds is ${values.rounds}, no number`);
  const engine = await buildEngine(ROOT, (text) => console.error(text));
  const figures: Figure[] = [];
  {
    await using containerd = await startKataContainerd();
    const image = await busyboxImage();
    await importImage(containerd.ctr, image);
    figures.push(...(await containers(containerd, image.name, values.runtime, rounds)));
    const measured = { root: ROOT, engine, containerd, image: image.name };
    const runtimes = [...new Set([values.runtime, RUNC_RUNTIME])];
    figures.push(...(await networkFigures(measured, runtimes, NETWORK_ROUNDS, subjectName)));
    figures.push(...(await volumes(ROOT, engine, containerd, image.name, values.runtime)));
    figures.push(...(await policyFigures(ROOT, engine, containerd, image.name, values.runtime)));
    if (values.runtime === KATA_RUNTIME) {
      figures.push(...(await resizes(containerd, image.name, Math.min(rounds, MOST_RESIZES))));
    }
  }
  figures.push(...(await protocol(engine)));
  process.stdout.write(tableOf(figures));
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, undefined, 2)}\n`);
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
  const unit = { ms: "ms", us: "µs", bytes: "B", "bytes/s": "MB/s" } as const;
  return figures
    .map((row) => {
      const shown = (number: number) => (row.unit === "bytes/s" ? number / 1e6 : number);
      const value = (number: number) =>
        `${shown(number).toFixed(row.unit === "ms" && number >= 20 ? 0 : 1)} ${unit[row.unit]}`;
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
