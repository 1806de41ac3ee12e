/**
 * `npm run test:hypervisors`: the same end-to-end tests with each monitor, or with the program that stands in for it.
 *
 *   npm run test:hypervisors            all of them
 *   npm run test:hypervisors -- clh     one of them
 *   npm run test:hypervisors -- --short a file of tests with each but the usual one: what `npm test` does
 *
 * Prints a line a monitor and `N passed, N failed` at the end. Needs root and what `npm run build` and `npm run image` have made; a
 * guest of another architecture it makes itself.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exitStatus, mustRun } from "../harness/command.ts";
import { fetchForeignGuest } from "../harness/foreign-guest.ts";
import { buildStandIns } from "../native-tests.ts";

const ROOT = join(import.meta.dirname, "../..");
const RESULTS = join(ROOT, "build/test-results");

/** As `KATA_TEST_HYPERVISOR` names them, and what runs under that name here. */
const MONITORS = {
  qemu: "QEMU, q35",
  "qemu-microvm": "QEMU, microvm",
  "qemu-aarch64": "QEMU, virt, emulating Arm with a guest and programs of that architecture",
  clh: "Cloud Hypervisor's stand-in, a real guest behind its API",
  firecracker: "Firecracker's stand-in and its jailer's, a real guest behind the API",
  remote: "a remote hypervisor's stand-in, whose guests pull their images over a network of their own",
} as const;

type MonitorName = keyof typeof MONITORS;

/** What shows every part of a monitor's driver: the machine's life, its network, processes, mounts and limits. */
const SMOKE = ["lifecycle", "exec.", "exit-status", "network.e2e", "mounts", "remote-hypervisor"];

/** Enough to see that a machine starts, runs programs and ends as it should. */
const SHORT = ["exit-status"];
/** Runs all end-to-end tests anyway. */
const USUAL: MonitorName = "qemu";

/** What a machine cannot do, by the files of tests about it. */
const LEFT_OUT: Partial<Record<MonitorName, readonly string[]>> = {
  // Nothing is plugged into this board while it runs.
  "qemu-microvm": ["**/live-network*"],
};

/** What is worth showing with one monitor, by the configuration of its tests: another user than root, disks that grow; pods of a kubelet, on other hosts. */
const ALSO: Partial<Record<MonitorName, readonly [config: string, ...tests: string[]]>> = {
  clh: ["tests/vitest.e2e.config.ts", "rootless", "volumes"],
  remote: ["tests/vitest.containerd.config.ts", "remote-pods"],
};

/** Where the results are written for `npm test`. */
const HYPERVISOR_RESULTS = join(RESULTS, "hypervisors.json");

export interface HypervisorResult {
  readonly name: string;
  readonly what: string;
  readonly passed: number;
  readonly failed: number;
}

async function main(): Promise<number> {
  const chosen = process.argv.slice(2).filter((argument) => argument !== "--short");
  const isShort = process.argv.includes("--short");
  const names = Object.keys(MONITORS) as MonitorName[];
  const unknown = chosen.find((name) => !names.some((known) => known === name));
  if (unknown !== undefined) throw new Error(`${unknown}: it is one of ${names.join(", ")}`);
  await buildStandIns(ROOT);
  const results: HypervisorResult[] = [];
  const wanted = (name: MonitorName) =>
    chosen.length === 0 ? !(isShort && name === USUAL) : chosen.includes(name);
  for (const name of names.filter(wanted)) {
    console.log(`\n── ${name}: ${MONITORS[name]}`);
    if (name === "qemu-aarch64") await makeForeignGuest();
    results.push(await runWith(name, isShort));
  }
  writeFileSync(HYPERVISOR_RESULTS, JSON.stringify(results));
  console.log("");
  for (const { name, what, passed, failed } of results) {
    console.log(`${name.padEnd(12)} ${passed} passed, ${failed} failed (${what})`);
  }
  const sum = (field: "passed" | "failed") => results.reduce((total, result) => total + result[field], 0);
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  return sum("failed") === 0 ? 0 : 1;
}

/** Agent, kernel, emulator and programs; quick if they are there. */
async function makeForeignGuest(): Promise<void> {
  await fetchForeignGuest();
  const deadlineMs = 600_000;
  const tsx = join(ROOT, "node_modules/.bin/tsx");
  for (const args of [
    ["scripts/build/build.ts", "--arch", "aarch64", "--only", "kata-agent"],
    ["src/image/build-image.ts", "--arch", "aarch64"],
  ]) {
    await mustRun(tsx, args, { cwd: ROOT, deadlineMs });
  }
}

/** The smoke set, or the short one, and what is shown with this monitor besides. */
async function runWith(name: MonitorName, isShort: boolean): Promise<HypervisorResult> {
  const leftOut = (LEFT_OUT[name] ?? []).map((glob) => `--exclude=${glob}`);
  const common = [...(isShort ? SHORT : SMOKE), ...leftOut];
  const smoke = await runTests(name, "tests/vitest.e2e.config.ts", ...common);
  const also = isShort ? undefined : ALSO[name];
  if (also === undefined) return smoke;
  const more = await runTests(name, ...also);
  return { ...smoke, passed: smoke.passed + more.passed, failed: smoke.failed + more.failed };
}

async function runTests(
  name: MonitorName,
  config: string,
  ...tests: readonly string[]
): Promise<HypervisorResult> {
  const report = join(RESULTS, `hypervisor-${name}.json`);
  mkdirSync(RESULTS, { recursive: true });
  rmSync(report, { force: true });
  const args = ["run", "--config", config, ...tests];
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const child = spawn(join(ROOT, "node_modules/.bin/vitest"), [...args, ...reporters], {
    cwd: ROOT,
    env: { KATA_TEST_CONTAINERD_SUITE: "system", ...process.env, KATA_TEST_HYPERVISOR: name },
    stdio: "inherit",
  });
  const status = await exitStatus(child);
  const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
  // A suite that cannot even be loaded has no failed test, but fails.
  const failed = status !== 0 && numFailedTests === 0 ? 1 : numFailedTests;
  return { name, what: MONITORS[name], passed: numPassedTests, failed };
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
