/**
 * `npm run test:containerd`: what pods and containers need of containerd, with each version of it that Debian has.
 *
 *   npm run test:containerd                 the machine's own, Debian 13's and sid's
 *   npm run test:containerd -- sid          one of them
 *
 * Prints a line a version and `N passed, N failed` at the end. Needs root and what `npm run build` and `npm run image` have made.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { exitStatus } from "../harness/command.ts";
import {
  CONTAINERD_SUITES,
  type ContainerdSuite,
  containerdPrograms,
  containerdVersion,
} from "../harness/containerd-versions.ts";

const ROOT = join(import.meta.dirname, "../..");
const RESULTS = join(ROOT, "build/test-results");

interface Result {
  readonly title: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

async function main(): Promise<number> {
  const chosen = process.argv.slice(2);
  const unknown = chosen.find((name) => !CONTAINERD_SUITES.some((suite) => suite === name));
  if (unknown !== undefined) throw new Error(`${unknown}: it is one of ${CONTAINERD_SUITES.join(", ")}`);
  const suites = CONTAINERD_SUITES.filter((suite) => chosen.length === 0 || chosen.includes(suite));
  const results: Result[] = [];
  for (const suite of suites) {
    const title = `containerd ${await containerdVersion(await containerdPrograms(suite))} (${suite})`;
    console.log(`\n── ${title}`);
    results.push({ title, ...(await runSuite(suite)) });
  }
  console.log("");
  for (const { title, passed, failed, skipped } of results) {
    console.log(`${title.padEnd(30)} ${passed} passed, ${failed} failed, ${skipped} not for this version`);
  }
  const sum = (field: "passed" | "failed") => results.reduce((total, result) => total + result[field], 0);
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  return sum("failed") === 0 ? 0 : 1;
}

async function runSuite(suite: ContainerdSuite): Promise<Omit<Result, "title">> {
  const report = join(RESULTS, `containerd-${suite}.json`);
  mkdirSync(RESULTS, { recursive: true });
  rmSync(report, { force: true });
  const args = ["run", "--config", "tests/vitest.containerd.config.ts"];
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const child = spawn(join(ROOT, "node_modules/.bin/vitest"), [...args, ...reporters], {
    cwd: ROOT,
    env: { ...process.env, KATA_TEST_CONTAINERD_SUITE: suite },
    stdio: "inherit",
  });
  const status = await exitStatus(child);
  const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(report, "utf8"));
  // A suite that cannot even be loaded has no failed test, but fails.
  const failed = status !== 0 && numFailedTests === 0 ? 1 : numFailedTests;
  return { passed: numPassedTests, failed, skipped: numPendingTests };
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
