/**
 * `npm run size`: what the binaries of `build/bin` cost.
 *
 *   npm run size                           all
 *   npm run size -- --without-container    without the shim's memory, which takes a virtual machine
 *
 * Prints for each the bytes on disk, the memory when idle and the time from its start to its end with `--version`, and of
 * what else has a limit. Limits of time are for the fastest run: other work on the machine makes the others slower. The exit
 * status is 1 if a limit is exceeded or something could not be measured.
 */
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { mustRun } from "../../tests/harness/command.ts";
import { buildEngine } from "../build/engine.ts";
import { buildProgram } from "../build/program.ts";
import { agentMemory, shimMemory } from "./resident-memory.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const MIB = 1 << 20;

const RUNS = 100;
const START_DEADLINE_MS = 120_000;

interface Limits {
  /** Bytes. */
  readonly disk: number;
  /** Bytes, when idle. */
  readonly memory: number;
  /** Of the fastest start, ms: other work on the machine makes the others slower. */
  readonly start?: number;
}

interface Subject {
  readonly name: string;
  readonly versionArguments: readonly string[];
  readonly limits: Limits;
  /** Other calls whose time has a limit. */
  readonly calls?: readonly Call[];
  /** What its memory is of, and how much that is; undefined: the most that it has for its version. */
  readonly memory?: { readonly state: string; readonly measure: () => Promise<number> };
}

interface Call {
  /** As the table shows it. */
  readonly name: string;
  readonly args: readonly string[];
  /** Of the fastest run, ms. */
  readonly limit: number;
}

interface Times {
  readonly fastestMs: number;
  readonly medianMs: number;
  readonly p99Ms: number;
}

interface Measured extends Times {
  readonly disk: number;
  readonly memory: number | Error | undefined;
  readonly memoryState: string;
}

function subjects(withContainer: boolean, configuration: string): readonly Subject[] {
  const agent = join(ROOT, "build/bin/kata-agent");
  return [
    {
      name: "containerd-shim-kata-v2",
      versionArguments: ["--version"],
      limits: { disk: 1.5 * MIB, memory: 4 * MIB },
      ...(withContainer
        ? { memory: { state: "one container", measure: async () => showPod(await shimMemory()) } }
        : {}),
    },
    {
      name: "kata-runtime",
      versionArguments: ["version"],
      limits: { disk: 1.5 * MIB, memory: 3 * MIB, start: 5 },
      calls: [{ name: "kata-runtime env", args: ["--config", configuration, "env"], limit: 30 }],
    },
    {
      name: "kata-agent",
      versionArguments: ["--version"],
      limits: { disk: 1.5 * MIB, memory: 2.5 * MIB },
      memory: { state: "serving", measure: () => agentMemory(agent) },
    },
  ];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { "without-container": { type: "boolean", default: false } },
  });
  const launcher = await buildLauncher();
  const configuration = join(ROOT, "build/scratch/size-configuration.toml");
  mkdirSync(dirname(configuration), { recursive: true });
  writeFileSync(configuration, "[hypervisor.qemu]\n");
  const rows: string[][] = [["program", "on disk", "resident", "when", "fastest", "median", "p99"]];
  const complaints: string[] = [];
  for (const subject of subjects(!values["without-container"], configuration)) {
    const path = join(ROOT, "build/bin", subject.name);
    if (!existsSync(path)) {
      complaints.push(`${subject.name} is not built: npm run build`);
      continue;
    }
    const measured = await measure(path, subject, launcher);
    rows.push(row(subject.name, measured));
    complaints.push(...exceeded(subject, measured));
    for (const { name, args, limit } of subject.calls ?? []) {
      const times = timesOf(await start(launcher, path, args));
      rows.push([name, "", "", "", ...timeCells(times)]);
      complaints.push(...tooSlow(name, times, limit));
    }
  }
  console.log(table(rows));
  for (const complaint of complaints) console.error(complaint);
  return complaints.length === 0 ? 0 : 1;
}

async function buildLauncher(): Promise<string> {
  const engine = await buildEngine(ROOT, (text) => console.error(text));
  const output = "build/test/start-time";
  await buildProgram(ROOT, engine, { entry: "scripts/size/start-time.ts", output });
  return join(ROOT, output);
}

/** Runs the program often. */
async function start(launcher: string, path: string, args: readonly string[]) {
  const output = await mustRun(launcher, [String(RUNS), path, ...args], { deadlineMs: START_DEADLINE_MS });
  return JSON.parse(output) as { readonly milliseconds: number[]; readonly peakKib: number };
}

function timesOf({ milliseconds }: { readonly milliseconds: readonly number[] }): Times {
  const sorted = [...milliseconds].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { fastestMs: at(0), medianMs: at(0.5), p99Ms: at(0.99) };
}

async function measure(path: string, subject: Subject, launcher: string): Promise<Measured> {
  const runs = await start(launcher, path, subject.versionArguments);
  const times = { disk: statSync(path).size, ...timesOf(runs) };
  if (subject.memory === undefined) {
    return { ...times, memory: runs.peakKib * 1024, memoryState: `${subject.versionArguments[0]}, peak` };
  }
  const { state, measure: measureMemory } = subject.memory;
  try {
    return { ...times, memory: await measureMemory(), memoryState: state };
  } catch (error) {
    const failure = error instanceof Error ? error : new Error(String(error));
    return { ...times, memory: failure, memoryState: state };
  }
}

function showPod({ shim, pod }: Awaited<ReturnType<typeof shimMemory>>): number {
  const parts = [...pod].map(([program, bytes]) => `${program} ${mebibytes(bytes)}`);
  console.error(`a pod with one container on the host: ${parts.join(", ")}`);
  return shim;
}

function exceeded({ name, limits }: Subject, { disk, memory, memoryState, ...times }: Measured): string[] {
  const complaints: string[] = [];
  if (disk > limits.disk)
    complaints.push(`${name}: ${mebibytes(disk)} on disk, limit ${mebibytes(limits.disk)}`);
  if (memory instanceof Error) {
    complaints.push(`${name}: its memory (${memoryState}) could not be measured: ${memory.message}`);
  } else if (memory !== undefined && memory > limits.memory) {
    complaints.push(
      `${name}: ${mebibytes(memory)} resident (${memoryState}), limit ${mebibytes(limits.memory)}`,
    );
  }
  complaints.push(...tooSlow(name, times, limits.start));
  return complaints;
}

function tooSlow(name: string, { fastestMs }: Times, limit: number | undefined): string[] {
  if (limit === undefined || fastestMs <= limit) return [];
  return [`${name}: ${fastestMs.toFixed(1)} ms from its start to its end, limit ${limit} ms`];
}

function row(name: string, { disk, memory, memoryState, ...times }: Measured): string[] {
  const shown = typeof memory === "number" ? mebibytes(memory) : "?";
  return [name, mebibytes(disk), shown, memoryState, ...timeCells(times)];
}

function timeCells({ fastestMs, medianMs, p99Ms }: Times): string[] {
  return [fastestMs, medianMs, p99Ms].map((ms) => `${ms.toFixed(2)} ms`);
}

function mebibytes(bytes: number): string {
  return `${(bytes / MIB).toFixed(2)} MiB`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  );
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd((widths[column] ?? 0) + 2))
        .join("")
        .trimEnd(),
    )
    .join("\n");
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
