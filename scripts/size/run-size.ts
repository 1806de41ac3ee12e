/**
 * `npm run size`: what the binaries of `build/bin` cost.
 *
 *   npm run size                           all
 *   npm run size -- --without-container    without the shim's memory, which takes a virtual machine
 *
 * Prints for each the bytes on disk, the memory when idle and the time from its start to its end with `--version`. The exit
 * status is 1 if a limit is exceeded or something could not be measured.
 */
import { existsSync, statSync } from "node:fs";
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
  /** What its memory is of, and how much that is; undefined: the most that it has for its version. */
  readonly memory?: { readonly state: string; readonly measure: () => Promise<number> };
}

interface Measured {
  readonly disk: number;
  readonly memory: number | Error | undefined;
  readonly memoryState: string;
  readonly fastestMs: number;
  readonly medianMs: number;
  readonly p99Ms: number;
}

function subjects(withContainer: boolean): readonly Subject[] {
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
    },
    {
      name: "kata-agent",
      versionArguments: ["--version"],
      limits: { disk: 1.5 * MIB, memory: 3 * MIB },
      memory: { state: "serving", measure: () => agentMemory(agent) },
    },
  ];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { "without-container": { type: "boolean", default: false } },
  });
  const launcher = await buildLauncher();
  const rows: string[][] = [["program", "on disk", "resident", "when", "start, median", "start, p99"]];
  const complaints: string[] = [];
  for (const subject of subjects(!values["without-container"])) {
    const path = join(ROOT, "build/bin", subject.name);
    if (!existsSync(path)) {
      complaints.push(`${subject.name} is not built: npm run build`);
      continue;
    }
    const measured = await measure(path, subject, launcher);
    rows.push(row(subject.name, measured));
    complaints.push(...exceeded(subject, measured));
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

async function measure(path: string, subject: Subject, launcher: string): Promise<Measured> {
  const args = [String(RUNS), path, ...subject.versionArguments];
  const output = await mustRun(launcher, args, { deadlineMs: START_DEADLINE_MS });
  const { milliseconds, peakKib } = JSON.parse(output) as { milliseconds: number[]; peakKib: number };
  const sorted = milliseconds.sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const times = { disk: statSync(path).size, fastestMs: at(0), medianMs: at(0.5), p99Ms: at(0.99) };
  if (subject.memory === undefined) {
    return { ...times, memory: peakKib * 1024, memoryState: `${subject.versionArguments[0]}, peak` };
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

function exceeded({ name, limits }: Subject, { disk, memory, memoryState, fastestMs }: Measured): string[] {
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
  if (limits.start !== undefined && fastestMs > limits.start) {
    complaints.push(`${name}: ${fastestMs.toFixed(1)} ms to start, limit ${limits.start} ms`);
  }
  return complaints;
}

function row(name: string, { disk, memory, memoryState, medianMs, p99Ms }: Measured): string[] {
  const shown = typeof memory === "number" ? mebibytes(memory) : "?";
  return [name, mebibytes(disk), shown, memoryState, `${medianMs.toFixed(2)} ms`, `${p99Ms.toFixed(2)} ms`];
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
