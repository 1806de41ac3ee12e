/**
 * `npm run test:hypervisors`: the same end-to-end tests with each monitor, or with the program that stands in for it.
 *
 *   npm run test:hypervisors            all of them
 *   npm run test:hypervisors -- clh     one of them
 *
 * Prints a line a monitor and `N passed, N failed` at the end. Needs root and what `npm run build` and `npm run image` have made.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { exitStatus } from "../harness/command.ts";
import { buildStandIns } from "../native-tests.ts";

const ROOT = join(import.meta.dirname, "../..");
const RESULTS = join(ROOT, "build/test-results");

/** As `KATA_TEST_HYPERVISOR` names them, and what runs under that name here. */
const MONITORS = {
  qemu: "QEMU, q35",
  "qemu-microvm": "QEMU, microvm",
  "qemu-aarch64": "QEMU, virt, emulating Arm with a guest and programs of that architecture",
  clh: "Cloud Hypervisor's stand-in, a real guest behind its API",
} as const;

type MonitorName = keyof typeof MONITORS;

/** What shows every part of a monitor's driver: the machine's life, its network, processes, mounts and limits. */
const SMOKE = ["lifecycle", "exec.", "exit-status", "network.e2e", "mounts"];

interface Result {
  readonly name: MonitorName;
  readonly passed: number;
  readonly failed: number;
}

async function main(): Promise<number> {
  const chosen = process.argv.slice(2);
  const names = Object.keys(MONITORS) as MonitorName[];
  const unknown = chosen.find((name) => !names.some((known) => known === name));
  if (unknown !== undefined) throw new Error(`${unknown}: it is one of ${names.join(", ")}`);
  await buildStandIns(ROOT);
  const results: Result[] = [];
  for (const name of names.filter((each) => chosen.length === 0 || chosen.includes(each))) {
    console.log(`\n── ${name}: ${MONITORS[name]}`);
    results.push(await runWith(name));
  }
  console.log("");
  for (const { name, passed, failed } of results) {
    console.log(`${name.padEnd(12)} ${passed} passed, ${failed} failed (${MONITORS[name]})`);
  }
  const sum = (field: "passed" | "failed") => results.reduce((total, result) => total + result[field], 0);
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  return sum("failed") === 0 ? 0 : 1;
}

async function runWith(name: MonitorName): Promise<Result> {
  const report = join(RESULTS, `hypervisor-${name}.json`);
  mkdirSync(RESULTS, { recursive: true });
  rmSync(report, { force: true });
  const args = ["run", "--config", "tests/vitest.e2e.config.ts", ...SMOKE];
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const child = spawn(join(ROOT, "node_modules/.bin/vitest"), [...args, ...reporters], {
    cwd: ROOT,
    env: { ...process.env, KATA_TEST_HYPERVISOR: name },
    stdio: "inherit",
  });
  const status = await exitStatus(child);
  const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
  // A suite that cannot even be loaded has no failed test, but fails.
  const failed = status !== 0 && numFailedTests === 0 ? 1 : numFailedTests;
  return { name, passed: numPassedTests, failed };
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  },
);
