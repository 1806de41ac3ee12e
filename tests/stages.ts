/** The parts of `npm test`, in order. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseBaseline, ratiosOf, regressions } from "./bench/baseline.ts";
import type { Figure } from "./bench/figure.ts";
import { exitStatus } from "./harness/command.ts";
import { RUNC_RUNTIME } from "./harness/subject.ts";
import type { HypervisorResult } from "./hypervisors/run-hypervisors.ts";
import { runNativeTests } from "./native-tests.ts";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const RESULTS = join(ROOT, "build/test-results");
/** Written by `npm run bench -- --only ctr-run,exec,cri-pod --rounds 20 --write-baseline tests/bench/baseline.json`. */
const BASELINE = "tests/bench/baseline.json";
const BINARIES = join(ROOT, "node_modules/.bin");

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** More that is to be told at the end. */
  readonly lines?: readonly string[];
}

export const NOTHING: Counts = { passed: 0, failed: 0, skipped: 0 };

export interface TestStage {
  readonly name: string;
  readonly what: string;
  /** Stages without which this one cannot tell anything. */
  readonly needs: readonly string[];
  /** Runs beside the stage of this name, if that runs too: both wait for an emulated processor most of the time. */
  readonly beside?: string;
  readonly run: (surroundings: Surroundings) => Promise<Counts>;
}

export interface Surroundings {
  /** Where its output goes: a descriptor, or the terminal. */
  readonly output: number | "inherit";
  /** Whether another stage runs containers at the same time. */
  readonly sharedHost: boolean;
}

const ALONE: Surroundings = { output: "inherit", sharedHost: false };

export const STAGES: readonly TestStage[] = [
  { name: "types", what: "types and lint", needs: [], run: checkTypes },
  { name: "build", what: "the binaries", needs: [], run: buildBinaries },
  {
    name: "image",
    what: "the guest",
    needs: ["build"],
    run: buildImage,
  },
  {
    name: "unit",
    what: "logic, in Node",
    needs: [],
    run: async () => {
      await generate();
      return await vitest("unit", []);
    },
  },
  {
    name: "native",
    what: "the system layer and a sandbox, in the engine host",
    needs: ["build", "image"],
    run: async () => {
      await generate();
      return await runNativeTests(ROOT);
    },
  },
  {
    name: "agent",
    what: "the agent as a process of this machine",
    needs: ["build"],
    run: () => vitest("agent", ["--config", "tests/vitest.agent.config.ts"]),
  },
  {
    name: "reference",
    what: "the end-to-end tests against runc, which prove the tests",
    needs: [],
    run: (surroundings) => endToEnd("reference", "e2e", { KATA_TEST_RUNTIME: RUNC_RUNTIME }, surroundings),
  },
  {
    name: "e2e",
    what: "containers in virtual machines, through containerd",
    needs: ["build", "image"],
    run: (surroundings) => endToEnd("e2e", "e2e", {}, surroundings),
  },
  {
    name: "faults",
    what: "kill -9 at random moments",
    needs: ["build", "image"],
    beside: "e2e",
    run: (surroundings) => endToEnd("faults", "faults", {}, surroundings),
  },
  {
    name: "containerd",
    what: "pods with the newest containerd, which brings up sandboxes itself",
    needs: ["build", "image"],
    beside: "e2e",
    run: (surroundings) => ofContainerd(surroundings),
  },
  {
    name: "hypervisors",
    what: "a few of the end-to-end tests with each other monitor",
    needs: ["build", "image"],
    beside: "e2e",
    run: (surroundings) => withOtherMonitors(surroundings),
  },
  {
    name: "speed",
    what: "starts beside runc's: no ratio a quarter worse than tests/bench/baseline.json",
    needs: ["build", "image"],
    run: besideBaseline,
  },
  {
    name: "demo",
    what: "the demo plays through, and is interrupted",
    needs: ["build", "image"],
    beside: "e2e",
    run: (surroundings) => vitest("demo", ["--config", "tests/vitest.demo.config.ts"], {}, surroundings),
  },
];

let generated: Promise<Counts> | undefined;

/** Writes the modules that others import and the repository does not hold; once in a run. */
function generate(): Promise<Counts> {
  generated ??= step("npm", ["run", "--silent", "generate"]);
  return generated;
}

async function checkTypes(): Promise<Counts> {
  await generate();
  await step(join(BINARIES, "tsc"), ["-p", "."]);
  return await step(join(BINARIES, "biome"), ["check", "--error-on-warnings", "."]);
}

async function buildBinaries(): Promise<Counts> {
  await step("npm", ["run", "--silent", "build"]);
  return await vitest("build", ["--config", "tests/vitest.build.config.ts", "build"]);
}

async function buildImage(): Promise<Counts> {
  await step("npm", ["run", "--silent", "image"]);
  return await vitest("image", ["--config", "tests/vitest.build.config.ts", "image"]);
}

function endToEnd(
  name: string,
  folder: string,
  env: NodeJS.ProcessEnv,
  surroundings: Surroundings,
): Promise<Counts> {
  const shared = surroundings.sharedHost ? { KATA_TEST_SHARED_HOST: "1" } : {};
  const args = ["--config", "tests/vitest.e2e.config.ts", folder];
  return vitest(name, args, { ...env, ...shared }, surroundings);
}

/** `npm run test:containerd` has the other versions. */
function ofContainerd(surroundings: Surroundings): Promise<Counts> {
  const shared = surroundings.sharedHost ? { KATA_TEST_SHARED_HOST: "1" } : {};
  const args = ["--config", "tests/vitest.containerd.config.ts", "containerd/"];
  return vitest("containerd", args, { ...shared, KATA_TEST_CONTAINERD_SUITE: "sid" }, surroundings);
}

/** `npm run test:hypervisors` has more tests. */
async function withOtherMonitors(surroundings: Surroundings): Promise<Counts> {
  const report = join(RESULTS, "hypervisors.json");
  await mkdir(RESULTS, { recursive: true });
  await rm(report, { force: true });
  const shared = surroundings.sharedHost ? { KATA_TEST_SHARED_HOST: "1" } : {};
  const args = ["tests/hypervisors/run-hypervisors.ts", "--short"];
  const status = await run(join(BINARIES, "tsx"), args, shared, surroundings);
  const results: readonly HypervisorResult[] = JSON.parse(await readFile(report, "utf8"));
  const sum = (field: "passed" | "failed") => results.reduce((total, result) => total + result[field], 0);
  return {
    passed: sum("passed"),
    failed: status !== 0 && sum("failed") === 0 ? 1 : sum("failed"),
    skipped: 0,
    lines: results.map(
      ({ name, what, passed, failed }) => `${name}: ${passed} passed, ${failed} failed (${what})`,
    ),
  };
}

/**
 * The bench's gate. Few rounds show nothing of a quarter; what seems worse is measured once more with rounds enough before it counts.
 * Both runtimes are measured in turn, so that whatever else the machine does meets both.
 */
async function besideBaseline(surroundings: Surroundings): Promise<Counts> {
  const report = join(RESULTS, "speed.json");
  await mkdir(RESULTS, { recursive: true });
  await rm(report, { force: true });
  const entries = [
    "--only",
    "ctr-run,exec,cri-pod",
    "--without",
    "kata-cold",
    "--rounds",
    "5",
    "--again",
    "15",
  ];
  const args = ["tests/bench/run-bench.ts", ...entries, "--baseline", BASELINE, "--json", report];
  const status = await run(join(BINARIES, "tsx"), args, {}, surroundings);
  if (!existsSync(report)) throw new Error(`the bench has measured nothing: exit status ${status}`);
  const baseline = parseBaseline(await readFile(join(ROOT, BASELINE), "utf8"));
  const ratios = ratiosOf(JSON.parse(await readFile(report, "utf8")) as readonly Figure[]);
  const compared = Object.keys(ratios).filter((what) => baseline[what] !== undefined);
  if (compared.length === 0) throw new Error(`${BASELINE} has none of the ratios that were measured`);
  const worse = regressions(baseline, ratios);
  return {
    passed: compared.length - worse.length,
    failed: status !== 0 && worse.length === 0 ? 1 : worse.length,
    skipped: 0,
    lines: compared.map((what) => `${what}: ${ratios[what]} × runc, ${baseline[what]} in the baseline`),
  };
}

/** Runs vitest and counts from the report that it writes beside its output. */
async function vitest(
  name: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  surroundings = ALONE,
): Promise<Counts> {
  const report = join(RESULTS, `${name}.json`);
  await mkdir(RESULTS, { recursive: true });
  await rm(report, { force: true });
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const status = await run(join(BINARIES, "vitest"), ["run", ...args, ...reporters], env, surroundings);
  const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(await readFile(report, "utf8"));
  // A suite that cannot even be loaded has no failed test, but fails.
  const failed = status !== 0 && numFailedTests === 0 ? 1 : numFailedTests;
  return { passed: numPassedTests, failed, skipped: numPendingTests };
}

/** Something that must succeed and counts no tests. */
async function step(command: string, args: readonly string[]): Promise<Counts> {
  const status = await run(command, args, {}, ALONE);
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: exit status ${status}`);
  return NOTHING;
}

function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  { output }: Surroundings,
): Promise<number> {
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", output, output],
  });
  return exitStatus(child);
}
